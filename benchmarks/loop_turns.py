"""One process in which the project's own loop and two bare ones take turns, a step at a time.

`loop.py` starts it, with flags as one JSON object, and reads the seconds of each step from its
output. The project's loop is the one that `resnet_cluster.training.run` runs, with its own loader;
where it asks for a step's first batch, its clock stops and the bare loops take their step.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import bare_loop
import numpy as np
import torch

from resnet_cluster.data import Batch, BatchIterator, TrainLoader, load_manifest
from resnet_cluster.nets import num_parameters
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import LocalContext
from resnet_cluster.training.images import build_images
from resnet_cluster.training.memory import keep_freed_memory
from resnet_cluster.training.run import build_loop

NUM_WARM_UP = 5
"""Rounds that do not count: memory is found, loaders run full."""


class Finished(Exception):  # noqa: N818 (a way out of the loop, not an error)
    """There are enough rounds."""


class Clock:
    """Wall and CPU time of this process."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"

    def read(self) -> tuple[float, float]:
        """Seconds, when the device has done its work."""
        if self._is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()


class Rounds:
    """Lets the bare loops take a step whenever ours has taken one, and holds the clock."""

    def __init__(self, bare: dict[str, Iterator[int]], clock: Clock, num_rounds: int) -> None:
        self._bare, self._clock, self._num_rounds = bare, clock, num_rounds
        self._draw = np.random.default_rng(0)
        self._began: tuple[float, float] | None = None
        self._seconds: dict[str, list[tuple[float, float]]] = {"ours": [], **{n: [] for n in bare}}

    def before_our_step(self) -> None:
        """End a round, and begin the next."""
        if self._began is not None:
            self._note("ours", self._began)
        for name in self._draw.permutation(list(self._bare)):
            began = self._clock.read()
            next(self._bare[name])
            self._note(name, began)
        if len(self._seconds["ours"]) == NUM_WARM_UP + self._num_rounds:
            raise Finished
        self._began = self._clock.read()

    def _note(self, name: str, began: tuple[float, float]) -> None:
        wall, cpu = self._clock.read()
        self._seconds[name].append((wall - began[0], cpu - began[1]))

    def seconds(self) -> dict[str, dict[str, list[float]]]:
        """Of each loop's steps, wall and CPU."""
        counted = {
            name: noted[NUM_WARM_UP : NUM_WARM_UP + self._num_rounds]
            for name, noted in self._seconds.items()
        }
        return {
            name: {
                "wall_s": [wall for wall, _ in noted],
                "cpu_s": [cpu for _, cpu in noted],
            }
            for name, noted in counted.items()
        }


class HeldBatches(AbstractContextManager["HeldBatches"]):
    """Batches whose steps begin when the round says so."""

    def __init__(self, batches: BatchIterator, batches_per_step: int, rounds: Rounds) -> None:
        self._batches, self._per_step, self._rounds = batches, batches_per_step, rounds
        self._count = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._count % self._per_step == 0:
            self._rounds.before_our_step()
        self._count += 1
        return next(self._batches)

    def __exit__(self, *_: object) -> None:
        self._batches.close()


class HeldLoader:
    """A loader of such batches."""

    def __init__(self, loader: TrainLoader, rounds: Rounds) -> None:
        self._loader, self._rounds = loader, rounds
        self.steps_per_epoch, self.micro_batches = loader.steps_per_epoch, loader.micro_batches

    def batches(self, epoch: int, first_step: int = 0) -> HeldBatches:
        """The micro-batches of an epoch."""
        batches = self._loader.batches(epoch, first_step)
        return HeldBatches(batches, len(self.micro_batches), self._rounds)


def make_job(flags: dict[str, Any]) -> JobSpec:
    """The job that the flags describe; it never ends by itself."""
    return JobSpec.model_validate(
        {
            "name": "bench",
            "seed": flags["seed"],
            "model": {"family": "cifar", "depth": flags["depth"], "shortcut": "A"},
            "data": {"name": "bench", "augment": {"pad": flags["pad"], "flip": True}},
            "train": {
                "global_batch_size": flags["batch"],
                "bn_group": flags["bn_group"],
                "iterations": 10**9,
                "lr": 0.1,
                "schedule": {"kind": "constant"},
                "precision": flags["precision"],
                "channels_last": flags["channels_last"],
            },
            "evaluate": {"observe_every": 0},
        }
    )


def measure(flags: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """The seconds of each loop's steps."""
    bare = {name: bare_loop.train(flags) for name in ("bare", "control")}
    sizes = {next(each) for each in bare.values()}
    device, job = torch.device(flags["device"]), make_job(flags)
    context = LocalContext(run_dir=Path(flags["folder"]), device=device)
    images = build_images(job, load_manifest(str(Path(flags["beton"]).parent)), context)
    rounds = Rounds(bare, Clock(device), flags["rounds"])
    held: Any = HeldLoader(images.train, rounds)
    loop = build_loop(job, dataclasses.replace(images, train=held), context)
    assert sizes == {num_parameters(loop.engine.net)}, "the nets differ"
    try:
        loop.run()
    except Finished:
        return rounds.seconds()
    raise AssertionError("the job ended by itself")


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    if given["device"] == "cpu":
        keep_freed_memory()  # of this process: the bare loops gain by it too
    print(json.dumps(measure(given)))
