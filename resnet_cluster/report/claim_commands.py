"""The commands that bring the evidence which claims still need."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from resnet_cluster.report.claims import Measure, Net, Part
from resnet_cluster.report.commands import Filling, measuring
from resnet_cluster.report.evidence import Evidence
from resnet_cluster.report.verdicts import MOST_SEEDS, Judged, Verdict
from resnet_cluster.results import DatasetFacts, RunSummary


@dataclass(frozen=True, kw_only=True)
class Needed:
    """What a network still lacks for the claims that are open."""

    net: Net
    commands: tuple[str, ...]
    """Those that measure what is trained, then a training for each seed."""
    is_small: bool
    """Whether some difference would need `MOST_SEEDS` seeds or more: no command is given for it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the open claims need: preparations of data sets, and commands by network."""

    preparations: tuple[str, ...] = ()
    needed: tuple[Needed, ...] = ()


def plan_evidence(
    judged: Sequence[Judged],
    evidence: Evidence,
    runs: Sequence[RunSummary],
    prepared: Sequence[DatasetFacts],
) -> Plan:
    """The commands for every claim that is open, each network once.

    Args:
        judged: the claims.
        evidence: what they were judged by.
        runs: all runs: commands avoid their names.
        prepared: the data sets that are there.
    """
    fillings: dict[str, Filling] = {}
    needed = []
    for net, wants in _wants(judged).items():
        dataset = net.experiment.dataset
        if dataset not in fillings:
            filling = Filling(experiment=net.experiment, runs=runs, prepared=prepared)
            fillings[dataset] = filling
        needed.append(_of_net(net, wants, evidence, fillings[dataset]))
    preparations = (filling.preparation for filling in fillings.values())
    return Plan(preparations=tuple(filter(None, preparations)), needed=tuple(needed))


@dataclass(frozen=True)
class _Want:
    """What a part asks of a network."""

    part: Part
    seeds: int
    run_ids: frozenset[str]
    """Runs whose value is known."""


def _wants(judged: Sequence[Judged]) -> dict[Net, list[_Want]]:
    wants: dict[Net, list[_Want]] = defaultdict(list)
    for claim in judged:
        if claim.verdict is not Verdict.OPEN:
            continue
        for finding in claim.findings:
            if isinstance(finding.part, Part):
                found = zip(finding.part.nets, finding.needed, finding.samples, strict=True)
                for net, seeds, sample in found:
                    if seeds:
                        known = frozenset(one.run_id for one in sample)
                        wants[net].append(_Want(finding.part, seeds, known))
    return wants


def _of_net(net: Net, wants: Sequence[_Want], evidence: Evidence, filling: Filling) -> Needed:
    measurements: dict[str, None] = {}
    seeds = 0
    for want in wants:
        found = list(_measurements(want, evidence.trained(net)))
        measurements.update(dict.fromkeys(found))
        if want.seeds < MOST_SEEDS:
            seeds = max(seeds, want.seeds - len(found))
    watched = any(want.part.measure in (Measure.FORWARD, Measure.GRADIENT) for want in wants)
    trainings = _trainings(net, seeds, evidence, filling, watched=watched)
    is_small = any(want.seeds == MOST_SEEDS for want in wants)
    return Needed(net=net, commands=(*measurements, *trainings), is_small=is_small)


def _measurements(want: _Want, trained: Sequence[RunSummary]) -> Iterator[str]:
    """What tells the value of a run that is trained; nothing does where it had to be watched."""
    for run in trained:
        if run.run_id in want.run_ids or not run.has_weights:
            continue
        if want.part.measure is Measure.TEST_ERROR:
            yield measuring(run, want.part.protocol)
        elif want.part.measure is Measure.RESPONSE:
            yield shlex.join(["resnet-cluster", "analyze", run.run_id])


def _trainings(
    net: Net, number: int, evidence: Evidence, filling: Filling, *, watched: bool
) -> Iterator[str]:
    """One for each of the next seeds."""
    taken = {run.job.seed for run in evidence.trained(net)}
    longer = ["--set", f"train.iterations={_iterations(net)}"] if net.times != 1 else []
    norms = ["--set", "evaluate.norms_every=1"] if watched else []
    for seed in islice((seed for seed in count() if seed not in taken), number):
        mark = f"_{net.times}x_s{seed}" if longer else f"_s{seed}"
        words = [*longer, *norms, "--seed", str(seed)]
        yield filling.training(net.depth, net.shortcut, mark=mark, words=words)


def _iterations(net: Net) -> int:
    assert net.experiment.train.iterations is not None
    return net.times * net.experiment.train.iterations
