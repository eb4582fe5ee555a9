"""Stores of simulated trainings: networks of the paper whose figures come from a world of ours."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from factories import CIFAR10, IMAGENET, make_epoch, make_errors, make_evaluation, make_run_record

from resnet_cluster.report.claim_commands import plan_evidence
from resnet_cluster.report.claims import CLAIMS, Measure, Net, Part
from resnet_cluster.report.evidence import Evidence
from resnet_cluster.report.verdicts import Judged, judge
from resnet_cluster.results import (
    ArtefactRecord,
    Attempt,
    DatasetFacts,
    EpochRecord,
    LayerNorms,
    LayerStd,
    NormsRecord,
    ResponsesRecord,
    RunState,
    RunSummary,
)
from resnet_cluster.spec import JobSpec, load_job, shipped_jobs

World = Callable[[Measure, Net], float]
"""What a network's figure is, on average over seeds."""

PROTOCOLS = {"CIFAR-10": "single", "ImageNet": "ten-crop-224of256-softmax"}
DATASETS = {"CIFAR-10": CIFAR10, "ImageNet": IMAGENET}
NETS = tuple(
    dict.fromkeys(
        net
        for claim in CLAIMS
        for part in claim.parts
        if isinstance(part, Part)
        for net in part.nets
    )
)


@dataclass(kw_only=True)
class Simulated:
    """Runs, and what a store tells of them more."""

    runs: list[RunSummary] = field(default_factory=list)
    epochs_of: dict[str, Sequence[EpochRecord]] = field(default_factory=dict)
    responses_of: dict[str, Sequence[ResponsesRecord]] = field(default_factory=dict)
    norms_of: dict[str, Sequence[NormsRecord]] = field(default_factory=dict)

    def epochs(self, run_id: str) -> Sequence[EpochRecord]:
        return self.epochs_of.get(run_id, ())

    def responses(self, run_id: str) -> Sequence[ResponsesRecord]:
        return self.responses_of.get(run_id, ())

    def norms(self, run_id: str) -> Sequence[NormsRecord]:
        return self.norms_of.get(run_id, ())

    def judge(self) -> dict[int, Judged]:
        """The claims by number."""
        return {each.claim.number: each for each in judge(Evidence(self.runs, self))}


def job_of(command: str) -> JobSpec:
    """The job that a command submits."""
    words = shlex.split(command)
    assert words[:2] == ["resnet-cluster", "submit"]
    options = list(zip(words[3::2], words[4::2], strict=True))
    assert {option for option, _ in options} <= {"--set", "--name", "--seed", "--data"}
    given = dict(options)
    (path,) = [path for path in shipped_jobs() if path.name == Path(words[2]).name]
    overrides = [value for option, value in options if option == "--set"]
    if "--seed" in given:
        overrides.append(f"seed={given['--seed']}")
    return load_job(path, overrides=overrides, name=given.get("--name")).spec


def commands(net: Net) -> list[str]:
    """The trainings that claims ask of a network where there is no run."""
    nobody = Simulated()
    evidence = Evidence([], nobody)
    plan = plan_evidence(judge(evidence), evidence, [], [CIFAR10, IMAGENET])
    (found,) = [each.commands for each in plan.needed if each.net == net]
    return list(found)


JOBS = {net: job_of(commands(net)[0]) for net in NETS}


def simulate(
    world: World,
    *,
    seeds: int | Mapping[Net, int] = 3,
    std: float = 0.02,
    nets: Sequence[Net] = NETS,
    datasets: Mapping[str, DatasetFacts] = DATASETS,
    change: Callable[[JobSpec], JobSpec] = lambda job: job,
) -> Simulated:
    """A store in which each network was trained with so many seeds.

    Args:
        world: the means.
        seeds: of each network.
        std: between seeds.
        nets: the networks.
        datasets: what they were trained on.
        change: made to each job.
    """
    generator, numbers, found = random.Random(0), count(), Simulated()
    for net in nets:
        for seed in range(seeds if isinstance(seeds, int) else seeds[net]):
            values = {measure: generator.gauss(world(measure, net), std) for measure in Measure}
            job = change(JOBS[net].model_copy(update={"seed": seed}))
            _add(found, next(numbers), job, datasets[net.experiment.dataset], values)
    return found


def _add(
    found: Simulated,
    number: int,
    job: JobSpec,
    dataset: DatasetFacts,
    values: Mapping[Measure, float],
) -> None:
    record = make_run_record(job, dataset=dataset, run_id=f"r-{number:04d}", minute=number)
    run_id, protocol = (
        record.run_id,
        "single" if dataset.num_classes == 10 else PROTOCOLS["ImageNet"],
    )
    last = _epoch(2, record.num_steps, values[Measure.LAST_TRAINING_ERROR])
    first = 2 * values[Measure.MEAN_TRAINING_ERROR] - last.train.top1_err
    weights = ArtefactRecord(name="weights", path="weights.pt", sha256="0" * 64, num_bytes=1)
    found.runs.append(
        RunSummary(
            record=record,
            job=job,
            run_dir=Path("/runs") / run_id,
            attempts=(Attempt(number=1, started_at=record.at, state=RunState.SUCCEEDED),),
            last_epoch=last,
            evaluations=(make_evaluation(record, values[Measure.TEST_ERROR], protocol=protocol),),
            artefacts=(weights,),
        )
    )
    found.epochs_of[run_id] = (_epoch(1, record.num_steps // 2, first), last)
    std = values[Measure.RESPONSE]
    layers = (LayerStd(name="a", std=std - 0.5), LayerStd(name="b", std=std + 0.5))
    found.responses_of[run_id] = (ResponsesRecord(split="test", num_images=100, layers=layers),)
    found.norms_of[run_id] = (
        NormsRecord(
            epoch=1,
            step=0,
            layers=(
                LayerNorms(name="a", forward=1.0, gradient=1.0),
                LayerNorms(
                    name="b",
                    forward=10 ** values[Measure.FORWARD],
                    gradient=10 ** values[Measure.GRADIENT],
                ),
            ),
        ),
    )


def _epoch(number: int, step: int, train_err: float) -> EpochRecord:
    train = make_errors(train_err, num_images=50_000)
    return make_epoch(number).model_copy(update={"step": step, "train": train})


def without(found: Simulated, **fields: object) -> Simulated:
    """The same store, each run with some fields replaced."""
    runs = [replace(run, **fields) for run in found.runs]  # type: ignore[arg-type]
    return replace(found, runs=runs)
