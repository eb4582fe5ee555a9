"""What our runs say to a claim: for each of its nets one value a seed, all of one course.

Nets are compared that were trained alike: on the same data set, by the same recipe (but the
warm-up that the deepest need), for as long. A run counts if it is whole and the paper's in all that
the claim is about (see `reservations`); of runs with the same seed the newest does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from resnet_cluster.report.claims import Measure, Net, Part
from resnet_cluster.report.comparability import course_of, differences, reservations
from resnet_cluster.report.figures import Details
from resnet_cluster.report.naming import papers_net
from resnet_cluster.results import EpochRecord, EvaluationRecord, NormsRecord, RunState, RunSummary


class MoreDetails(Details, Protocol):
    """What a store tells of one run more than its summary."""

    def norms(self, run_id: str) -> Sequence[NormsRecord]:
        """How large its layers' signals were while it trained, in order."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one run says."""

    run_id: str
    seed: int
    value: float
    at: datetime
    """When the run was asked for."""


Sample = tuple[Observation, ...]
"""Of one net, a seed each."""


class Evidence:
    """Runs, asked for what they say to the parts of claims.

    Args:
        runs: all runs, the oldest first.
        details: tells more of them: the store.
    """

    def __init__(self, runs: Sequence[RunSummary], details: MoreDetails) -> None:
        self._details = details
        self._trained: dict[Net, tuple[RunSummary, ...]] = {}
        self._runs: dict[tuple[str, int, str], list[RunSummary]] = defaultdict(list)
        for run in runs:
            if net := papers_net(run.job.model):
                self._runs[net].append(run)

    def trained(self, net: Net) -> tuple[RunSummary, ...]:
        """The runs of a network that have ended and whose training is evidence."""
        if net not in self._trained:  # in many parts
            self._trained[net] = tuple(
                run
                for run in self._runs[net.experiment.family, net.depth, net.shortcut]
                if run.state is RunState.SUCCEEDED
                and net.experiment.holds(run.dataset)
                and not reservations(run, None, times=net.times)
            )
        return self._trained[net]

    def samples(self, part: Part) -> tuple[Sample, ...]:
        """Of each net of the part, in order; of the course that says most, its values unseen."""
        by_net = [self._by_course(part, net) for net in part.nets]
        courses = dict.fromkeys(course for found in by_net for course in found)
        candidates = [tuple(found.get(course, ()) for found in by_net) for course in courses]
        return max(candidates, key=_weight, default=((),) * len(by_net))

    def _by_course(self, part: Part, net: Net) -> Mapping[Hashable, Sample]:
        found: dict[Hashable, dict[int, Observation]] = defaultdict(dict)
        for run in self.trained(net):
            for course, value in self._values(part, run, net):
                seed = run.job.seed
                found[course][seed] = Observation(
                    run_id=run.run_id, seed=seed, value=value, at=run.created_at
                )
        return {course: tuple(seeds.values()) for course, seeds in found.items()}

    def _values(self, part: Part, run: RunSummary, net: Net) -> Iterator[tuple[Hashable, float]]:
        """What a run says to a part: nothing, or its course and a number."""
        for apart, value in self._read(part, run, net):
            if math.isfinite(value):
                yield (course_of(run), apart), value

    def _read(self, part: Part, run: RunSummary, net: Net) -> Iterator[tuple[Hashable, float]]:
        """Numbers, each after what must be the same in those it is compared with."""
        match part.measure:
            case Measure.TEST_ERROR:
                for figure in _figures(part, run, net):
                    yield None, figure.errors.top1_err
            case Measure.LAST_TRAINING_ERROR:
                if run.last_epoch is not None and _is_whole(run, run.last_epoch):
                    yield None, run.last_epoch.train.top1_err
            case Measure.MEAN_TRAINING_ERROR:
                epochs = self._details.epochs(run.run_id)
                if epochs and _is_whole(run, epochs[-1]):
                    yield None, _mean([epoch.train.top1_err for epoch in epochs])
            case Measure.RESPONSE:
                for analysis in self._details.responses(run.run_id):
                    if stds := [layer.std for layer in analysis.layers]:
                        yield analysis.num_images, _mean(stds)
            case Measure.FORWARD | Measure.GRADIENT:
                # Of the epoch in which the layers are furthest apart.
                records = [each for each in self._details.norms(run.run_id) if each.layers]
                found = [_decades(record, part.measure) for record in records]
                if found and not any(map(math.isnan, found)):
                    yield None, min(found)


def _figures(part: Part, run: RunSummary, net: Net) -> Iterator[EvaluationRecord]:
    for figure in run.evaluations:
        if net.experiment.protocols.get(figure.protocol) != part.protocol:
            continue
        if part.beside_published:
            objections = differences(run, figure)
        else:
            objections = reservations(run, figure, times=net.times)
        if not objections:
            yield figure


def _is_whole(run: RunSummary, last: EpochRecord) -> bool:
    return last.step == run.record.num_steps


def _decades(record: NormsRecord, measure: Measure) -> float:
    """Smallest over largest of the layers' signals, in powers of ten."""
    is_forward = measure is Measure.FORWARD
    sizes = [layer.forward if is_forward else layer.gradient for layer in record.layers]
    if any(math.isnan(size) for size in sizes):
        return math.nan
    least, most = min(sizes), max(sizes)
    return math.log10(least) - math.log10(most) if least > 0 else _DEAD


_DEAD = -700.0
"""Of a layer without a signal: a number, for it speaks against the claim."""


def _mean(values: Sequence[float]) -> float:
    """Not a number where the values are none."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


def _weight(samples: tuple[Sample, ...]) -> tuple[int, int, float]:
    """How much a course says: seeds of the net that has fewest, of all; the newest of equals."""
    counts = [len(sample) for sample in samples]
    newest = max((one.at.timestamp() for sample in samples for one in sample), default=0.0)
    return min(counts), sum(counts), newest
