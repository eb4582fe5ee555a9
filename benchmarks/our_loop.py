"""The project's own loop, with its own loader, stopped between blocks of steps.

`loop.py` runs it as a process of its own and gives it its turns, as it does with `bare_loop.py`.
The loop is the one that `resnet_cluster.training.run` runs; it is held where it asks for the next
block's first batch, and knows nothing of it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import torch
from bare_loop import Turns

from resnet_cluster.data import Batch, BatchIterator, TrainLoader, load_manifest
from resnet_cluster.nets import num_parameters
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import LocalContext
from resnet_cluster.training.images import build_images
from resnet_cluster.training.run import build_loop


class HeldBatches(AbstractContextManager["HeldBatches"]):
    """Batches that wait for their turn."""

    def __init__(self, batches: BatchIterator, batches_per_step: int, turns: Turns) -> None:
        self._batches, self._per_step, self._turns = batches, batches_per_step, turns
        self._count = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._count % self._per_step == 0:
            self._turns.before_step()
        self._count += 1
        return next(self._batches)

    def __exit__(self, *_: object) -> None:
        self._batches.close()


class HeldLoader:
    """A loader whose batches wait for their turn."""

    def __init__(self, loader: TrainLoader, turns: Turns) -> None:
        self._loader, self._turns = loader, turns
        self.steps_per_epoch, self.micro_batches = loader.steps_per_epoch, loader.micro_batches

    def batches(self, epoch: int, first_step: int = 0) -> HeldBatches:
        """The micro-batches of an epoch."""
        batches = self._loader.batches(epoch, first_step)
        return HeldBatches(batches, len(self.micro_batches), self._turns)


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


def train(flags: dict[str, Any]) -> None:
    """Train until there are no more turns."""
    job = make_job(flags)
    context = LocalContext(run_dir=Path(flags["folder"]), device=torch.device(flags["device"]))
    images = build_images(job, load_manifest(str(Path(flags["beton"]).parent)), context)
    turns = Turns(flags["block"], flags["batch"])
    held: Any = HeldLoader(images.train, turns)
    loop = build_loop(job, dataclasses.replace(images, train=held), context)
    print(json.dumps({"num_parameters": num_parameters(loop.engine.net)}), flush=True)
    loop.run()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    train(given)
