"""From what a few short probes measured to what runs will take: pure arithmetic.

Within a group of runs the time of a step is taken for a straight line over the multiply-adds of an
image: a network of the paper grows by equal blocks, and each of them costs the same. The cheapest
and the dearest of a group are probed; what lies between them lies on the line.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnet_cluster.planning.workload import Workload

GROUP_STARTS = 3
"""Until a group of workers trains, so many times as long passes as until a lone one does: Ray Train
starts a controller first, then the workers, and lets them meet (12 s and 4 s on two cores)."""


@dataclass(frozen=True, kw_only=True)
class WantedProbe:
    """A network that is to be probed."""

    place: int
    """Of the run, among those that are estimated."""
    side: int
    """Height and width of the training images, in pixels."""
    flops: float
    """Multiply-adds of one of them, forward."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was measured of one network, on the machine that the runs are for."""

    group: str
    train_flops: float
    """Multiply-adds of a training image, forward."""
    flops: float
    """The same of an image that is measured."""
    start_s: float
    """From the start of its process to the end of the first step."""
    step_s: float
    image_s: Mapping[str, float]
    """Of an image of the test split under each protocol, by its identity."""
    checkpoint_s: float


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What a run will take."""

    start_s: float
    """Until a process of it is there and has taken a step."""
    train_s: float
    """Wall time of what is left of it: steps, measurements, checkpoints."""
    workers: int
    disk_bytes: int

    @property
    def held_s(self) -> float:
        """Seconds for which its first process is there; it starts several workers itself."""
        return self.train_s + (GROUP_STARTS * self.start_s if self.workers > 1 else 0.0)

    @property
    def seconds(self) -> float:
        """Wall time from its turn to its end."""
        return self.start_s + self.held_s


def wanted_probes(workloads: Sequence[Workload]) -> tuple[WantedProbe, ...]:
    """Of each group the run and size with the least arithmetic, and those with the most."""
    found: dict[str, list[WantedProbe]] = {}
    for place, work in enumerate(workloads):
        for steps in work.steps:
            wanted = WantedProbe(place=place, side=steps.side, flops=steps.flops)
            found.setdefault(work.group, []).append(wanted)
    return tuple(wanted for group in found.values() for wanted in _ends(group))


def estimate_run(work: Workload, probes: Sequence[Probe]) -> RunEstimate:
    """What a run takes by the probes of its group.

    Args:
        work: what is left of the run.
        probes: of any groups, its own among them.
    """
    own = [probe for probe in probes if probe.group == work.group]
    step_s = _line(own, lambda probe: (probe.train_flops, probe.step_s))
    checkpoint_s = _line(own, lambda probe: (probe.flops, probe.checkpoint_s))
    seconds = sum(steps.num_steps * step_s(steps.flops) for steps in work.steps)
    seconds += work.num_checkpoints * checkpoint_s(work.flops)
    for protocol, number in work.images.items():
        if number:
            seconds += number * _line(own, _measured_under(protocol))(work.flops)
    start_s = _line(own, lambda probe: (probe.flops, probe.start_s))(work.flops)
    return RunEstimate(
        start_s=start_s,
        train_s=seconds,
        workers=work.workers,
        disk_bytes=work.disk_bytes,
    )


def makespan(seconds: Sequence[float], at_once: int) -> float:
    """Wall time of runs that are begun in their order, so many at a time."""
    ends = [0.0] * max(1, min(at_once, len(seconds)))
    for each in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + each)
    return max(ends)


def _ends(group: Sequence[WantedProbe]) -> Iterator[WantedProbe]:
    least = min(group, key=lambda wanted: wanted.flops)
    most = max(group, key=lambda wanted: wanted.flops)
    yield least
    if most.flops > least.flops:
        yield most


def _measured_under(protocol: str) -> Callable[[Probe], tuple[float, float]]:
    return lambda probe: (probe.flops, probe.image_s[protocol])


def _line(
    probes: Sequence[Probe], point: Callable[[Probe], tuple[float, float]]
) -> Callable[[float], float]:
    """The straight line through the probes of least and most arithmetic; through one, a level."""
    points = sorted(map(point, probes))
    (x0, y0), (x1, y1) = points[0], points[-1]
    if x0 == x1:
        mean = sum(y for _, y in points) / len(points)
        return lambda x: mean
    return lambda x: max(0.0, y0 + (y1 - y0) * (x - x0) / (x1 - x0))
