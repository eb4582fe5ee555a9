"""How fast seeds of a small net train side by side in one process, and in processes of their own.

    python benchmarks/packs.py [--data cifar10] [--depths 20,56,110] [--sizes 1,2,4,8]

Of `jobs/cifar10_r20.yaml`, at each depth, so many seeds take steps at the same time: as threads of
one process (`ablate --pack`), and as processes that share the device (`ablate --trials-per-gpu`).
On a GPU one seed also takes steps kernel by kernel, as it did before there were graphs. The
variants take turns; a figure is the images of all seeds per second, the best of the rounds, since
what disturbs a machine makes it slower and never faster.

Exit code 0: on a GPU, the largest pack trains more images per second than one seed by itself and
than as many processes; on a CPU nothing is judged, since seeds have nothing to share there. 1: no.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing as mp
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from resnet_cluster.data import load_manifest
from resnet_cluster.spec import JobSpec, load_job
from resnet_cluster.training import LocalContext
from resnet_cluster.training.images import build_images
from resnet_cluster.training.lanes import Lane
from resnet_cluster.training.loop import Loop
from resnet_cluster.training.run import build_loop

JOB = Path(__file__).parents[1] / "jobs" / "cifar10_r20.yaml"
WARM_UP = 6
"""Steps that do not count: kernels are chosen, graphs captured."""
DEADLINE_S = 300


class Seed:
    """One training, a step after the other, on a stream of its own."""

    def __init__(self, job: JobSpec, folder: Path, device: torch.device, threads: int) -> None:
        torch.backends.cudnn.benchmark = True
        context = LocalContext(run_dir=folder, device=device, loader_threads=threads)
        self._device, self._lane = device, Lane(device)
        with self._lane:
            images = build_images(job, load_manifest(job.data.name), context)
            self._steps = self._endless(build_loop(job, images, context))
        self.take(WARM_UP)

    def take(self, number: int) -> None:
        """Take so many steps, and wait for the last."""
        with self._lane:
            for _ in range(number):
                next(self._steps)
            if self._device.type == "cuda":
                torch.cuda.current_stream().synchronize()

    @staticmethod
    def _endless(loop: Loop) -> Iterator[None]:
        for epoch in itertools.count():
            with loop.images.train.batches(epoch) as batches:
                for _ in range(loop.lengths.steps_per_epoch):
                    own = itertools.islice(batches, loop.engine.num_micro_batches)
                    loop.engine.step(own, epoch=epoch, lr=0.01)
                    yield


class Pack:
    """Seeds in threads of this process."""

    def __init__(self, jobs: list[JobSpec], folder: Path, device: torch.device) -> None:
        self._threads = ThreadPoolExecutor(
            len(jobs), initializer=torch.set_num_threads, initargs=(1,)
        )
        seeds = [
            self._threads.submit(Seed, job, folder / f"pack-{job.seed}", device, 1) for job in jobs
        ]
        self._seeds = [seed.result(DEADLINE_S) for seed in seeds]

    def seconds(self, size: int, num_steps: int) -> float:
        """Of so many steps of each of the first seeds."""
        start = threading.Barrier(size + 1)

        def take(seed: Seed) -> None:
            start.wait(DEADLINE_S)
            seed.take(num_steps)

        running = [self._threads.submit(take, seed) for seed in self._seeds[:size]]
        start.wait(DEADLINE_S)
        began = time.perf_counter()
        for each in running:
            each.result(DEADLINE_S)
        return time.perf_counter() - began


class Processes:
    """The same seeds, each in a process."""

    def __init__(self, jobs: list[JobSpec], folder: Path, device: torch.device) -> None:
        context = mp.get_context("spawn")
        self._ends: list[Connection] = []
        self._running: list[Any] = []
        for job in jobs:
            own, other = context.Pipe()
            flags = (
                job.model_dump(mode="json"),
                folder / f"process-{job.seed}",
                str(device),
                other,
            )
            process = context.Process(target=_serve, args=flags, daemon=True)
            process.start()
            self._ends.append(own)
            self._running.append(process)
        for end in self._ends:
            _answer(end)

    def seconds(self, size: int, num_steps: int) -> float:
        """Of so many steps of each of the first seeds."""
        began = time.perf_counter()
        for end in self._ends[:size]:
            end.send(num_steps)
        for end in self._ends[:size]:
            _answer(end)
        return time.perf_counter() - began

    def close(self) -> None:
        """End the processes."""
        for end, process in zip(self._ends, self._running, strict=True):
            end.send(0)
            process.join(DEADLINE_S)


def _answer(end: Connection) -> None:
    if not end.poll(DEADLINE_S):
        raise SystemExit("a process did not answer")
    end.recv()


def _serve(job: dict[str, Any], folder: Path, device: str, end: Connection) -> None:
    from resnet_cluster.spec import load_resolved

    torch.set_num_threads(1)
    seed = Seed(load_resolved(job), folder, torch.device(device), 1)
    end.send("ready")
    while number := end.recv():
        seed.take(number)
        end.send("done")


def measure(jobs: list[JobSpec], sizes: list[int], flags: argparse.Namespace) -> dict[str, float]:
    """Images per second of each variant, the best of the rounds."""
    device, best = torch.device(flags.device), dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pack, processes = Pack(jobs, folder, device), Processes(jobs, folder, device)
        variants: dict[str, tuple[Pack | Processes, int]] = {
            f"pack of {size}": (pack, size) for size in sizes
        }
        variants |= {f"{size} processes": (processes, size) for size in sizes if size > 1}
        if device.type == "cuda":
            no_graphs = "resnet_cluster.training.engine.can_be_captured"
            with mock.patch(no_graphs, return_value=False):
                variants["launched"] = (Pack(jobs[:1], folder / "launched", device), 1)
        for number in range(flags.rounds):
            print(f"\rround {number + 1} of {flags.rounds}", end="", file=sys.stderr, flush=True)
            for variant, (where, size) in variants.items():
                seconds = where.seconds(size, flags.steps)
                images = size * flags.steps * jobs[0].train.global_batch_size
                best[variant] = max(best.get(variant, 0.0), images / seconds)
        print(file=sys.stderr)
        processes.close()
    return best


def main() -> int:
    """Measure and judge."""
    flags = parse_flags()
    sizes = [int(size) for size in flags.sizes.split(",")]
    device = torch.device(flags.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{where}, torch {torch.__version__}, {flags.steps} steps, {flags.rounds} rounds")
    is_good = True
    for depth in map(int, flags.depths.split(",")):
        jobs = [
            load_job(JOB, overrides=[f"model.depth={depth}"], seed=seed, data=flags.data).spec
            for seed in range(max(sizes))
        ]
        found = measure(jobs, sizes, flags)
        for variant, rate in found.items():
            ratio = rate / found["pack of 1"]
            print(f"ResNet-{depth:<4} {variant:14} {rate:10,.0f} img/s  {ratio:5.2f}x", flush=True)
        largest = found[f"pack of {max(sizes)}"]
        is_good &= largest > found["pack of 1"] and largest > found[f"{max(sizes)} processes"]
    if device.type != "cuda":
        return 0
    print("PASS" if is_good else "FAIL")
    return 0 if is_good else 1


def parse_flags() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    has_gpu = torch.cuda.is_available()
    parser.add_argument("--data", default="cifar10", help="a prepared data set")
    parser.add_argument("--depths", default="20,56,110")
    parser.add_argument("--sizes", default="1,2,4,8")
    parser.add_argument("--device", default="cuda" if has_gpu else "cpu")
    parser.add_argument("--steps", type=int, default=200 if has_gpu else 5)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
