"""Times short probes of jobs on a cluster, as many at a time as the jobs themselves would run."""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from resnet_cluster.cluster.capacity import Cluster, WorkerShare, share_of
from resnet_cluster.cluster.probe_worker import ProbeTask, ProbeWorker
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.errors import PreflightError, ResnetClusterError
from resnet_cluster.spec import CustomNetSpec, JobSpec, find_code

START_DEADLINE_S = 300.0
"""For a crew's processes, their imports and a first step."""
MEASURE_DEADLINE_S = 600.0
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class ProbeOrder:
    """A job that is to be timed on training images of one size."""

    job: JobSpec
    dataset_folder: Path
    side: int


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was timed of one order: means of the copies that ran at the same time."""

    device: str
    start_s: float
    step_s: float
    image_s: dict[str, float]
    checkpoint_s: float


@dataclass(frozen=True, kw_only=True)
class ProbeRoom:
    """Where probes run.

    Attributes:
        cluster: that this process is connected to.
        at_once: jobs that run at a time.
        trials_per_gpu: jobs, or packs of them, that share a GPU.
        pack: jobs that a process runs side by side.
        storage: the folder of runs, in which checkpoints are timed.
        tell: called with how far the probes are.
        heed: called again and again while probes run; raises where they are to end.
    """

    cluster: Cluster
    at_once: int
    trials_per_gpu: int
    pack: int
    storage: Path
    tell: Callable[[str], None]
    heed: Callable[[], None]


def run_probes(orders: Sequence[ProbeOrder], room: ProbeRoom) -> tuple[Timing, ...]:
    """The timings of the orders, in their order.

    Raises:
        PreflightError: a job failed, or the cluster had no room for it in time.
    """
    timings: dict[int, Timing] = {}
    began = time.monotonic()
    with _folder(room.storage) as folder:
        for kind, places in _kinds(orders, room):
            with _crews(kind, room) as crews:
                for wave in _waves(places, len(crews)):
                    room.tell(_progress(orders, wave, len(timings), time.monotonic() - began))
                    tasks = [_task(orders[place], folder / str(n)) for n, place in enumerate(wave)]
                    timings |= _averaged(wave, _timed(crews, tasks, room))
    return tuple(timings[place] for place in range(len(orders)))


def _progress(orders: Sequence[ProbeOrder], wave: Sequence[int], done: int, seconds: float) -> str:
    distinct = list(dict.fromkeys(wave))
    names = ", ".join(orders[place].job.name for place in distinct)
    which = f"probe {done + 1}"
    if len(distinct) > 1:
        which = f"probes {done + 1} to {done + len(distinct)}"
    left = f", about {seconds / done * (len(orders) - done):.0f} s left" if done else ""
    return f"{which} of {len(orders)}{left}: {names}"


@dataclass(frozen=True)
class _Kind:
    """Jobs that take as much of a cluster."""

    workers: int
    share: WorkerShare


@dataclass(frozen=True)
class _Crew:
    """The ranks that time one job after the other."""

    ranks: tuple[Any, ...]
    device: str
    start_s: float
    """Until they were ready to import what they train with."""


def _kinds(orders: Sequence[ProbeOrder], room: ProbeRoom) -> Iterator[tuple[_Kind, list[int]]]:
    found: dict[tuple[int, WorkerShare], list[int]] = {}
    for place, order in enumerate(orders):
        share = share_of(order.job, room.cluster, room.trials_per_gpu)
        found.setdefault((order.job.resources.workers, share), []).append(place)
    for (workers, share), places in found.items():
        yield _Kind(workers, share), places


def _waves(places: Sequence[int], size: int) -> Iterator[list[int]]:
    """The places, so many at a time; some of a last wave twice, so that all crews are busy."""
    for own in _cut(places, size):
        yield list(itertools.islice(itertools.cycle(own), size))


@contextmanager
def _folder(storage: Path) -> Iterator[Path]:
    storage.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".probe-", dir=storage))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _crews(kind: _Kind, room: ProbeRoom) -> Iterator[list[_Crew]]:
    """Crews that have met; they end with the block."""
    worker: Any = ray.remote(ProbeWorker).options(
        num_cpus=kind.share.num_cpus, num_gpus=kind.share.num_gpus
    )
    began, size = time.monotonic(), kind.workers
    num_crews = math.ceil(room.at_once / room.pack)
    ranks = [
        worker.remote(kind.share.num_cpus, min(room.pack, room.at_once))
        for _ in range(num_crews * size)
    ]
    try:
        seats = _all((rank.seat.remote() for rank in ranks), START_DEADLINE_S, room)
        joining = [
            rank.join.remote(place, crew_seats)
            for crew, crew_seats in zip(_cut(ranks, size), _cut(seats, size), strict=True)
            for place, rank in enumerate(crew)
        ]
        devices = _all(joining, START_DEADLINE_S, room)
        start_s = time.monotonic() - began
        yield [
            _Crew(tuple(crew), device, start_s)
            for crew, device in zip(_cut(ranks, size), devices[::size], strict=True)
        ]
    finally:
        for rank in ranks:
            ray.kill(rank)


def _cut(values: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(values[first : first + size]) for first in range(0, len(values), size)]


def _task(order: ProbeOrder, folder: Path) -> ProbeTask:
    folder.mkdir(exist_ok=True)
    if isinstance(order.job.model, CustomNetSpec):
        model = order.job.model
        RunFolder(folder).keep_code(find_code(model.entry, sha256=model.source_sha256))
    return ProbeTask(
        folder=folder,
        job=order.job.model_dump(mode="json"),
        dataset_folder=order.dataset_folder,
        side=order.side,
    )


def _timed(crews: Sequence[_Crew], tasks: Sequence[ProbeTask], room: ProbeRoom) -> list[Timing]:
    """Each crew's timing of its task: all are made ready, then all are timed together."""
    pairs = list(zip(crews, tasks, strict=True))
    ready = _all(
        (rank.prepare.remote(task) for crew, task in pairs for rank in crew.ranks),
        START_DEADLINE_S,
        room,
    )
    speeds = _all(
        (rank.measure.remote() for crew, _ in pairs for rank in crew.ranks),
        MEASURE_DEADLINE_S,
        room,
    )
    size = len(crews[0].ranks)
    return [
        Timing(device=crew.device, start_s=crew.start_s + max(seconds), **speed[0])
        for crew, seconds, speed in zip(crews, _cut(ready, size), _cut(speeds, size), strict=True)
    ]


def _averaged(wave: Sequence[int], timings: Sequence[Timing]) -> dict[int, Timing]:
    """One timing for each place: the mean of those that were of the same."""
    found = {}
    for place in dict.fromkeys(wave):
        own = [timing for at, timing in zip(wave, timings, strict=True) if at == place]
        found[place] = Timing(
            device=own[0].device,
            start_s=_mean(each.start_s for each in own),
            step_s=_mean(each.step_s for each in own),
            image_s={name: _mean(each.image_s[name] for each in own) for name in own[0].image_s},
            checkpoint_s=_mean(each.checkpoint_s for each in own),
        )
    return found


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _all(calls: Iterable[Any], deadline_s: float, room: ProbeRoom) -> list[Any]:
    """The answers to all calls.

    Raises:
        PreflightError: one failed, or did not come in time.
    """
    asked, deadline = list(calls), time.monotonic() + deadline_s
    waiting = asked
    while waiting:
        room.heed()
        if time.monotonic() > deadline:
            raise PreflightError(
                f"a probe had not ended after {deadline_s:.0f} s on {room.cluster.place}",
                mend="see that the cluster is free, or leave --estimate, --price and "
                "--max-gpu-hours out",
            )
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_POLL_S)
    try:
        answers: list[Any] = ray.get(asked)
    except ray.exceptions.RayError as error:
        raise _failure(error) from error
    return answers


def _failure(error: Exception) -> ResnetClusterError:
    known = getattr(error, "cause", None)
    if isinstance(known, ResnetClusterError):
        return known
    lines = str(known or error).strip().splitlines()
    why = f"{type(known or error).__name__}: {lines[-1] if lines else ''}"
    return PreflightError(f"a probe failed: {why}", mend="what failed in it would fail in a trial")
