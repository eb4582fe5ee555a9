"""Runs as the tool leaves them behind, made without training anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from resnet_cluster.planning import DataFacts
from resnet_cluster.results import (
    Attempt,
    AttemptEnded,
    AttemptStarted,
    AttemptTraining,
    DatasetFacts,
    EpochRecord,
    Errors,
    EvaluationRecord,
    EventLog,
    RunRecord,
    RunState,
    RunSummary,
)
from resnet_cluster.spec import JobSpec, schedule_in_steps

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

CIFAR10 = DatasetFacts(
    name="cifar10",
    sha256="c1fa" * 16,
    encoding="pixels",
    source="cifar10",
    num_classes=10,
    image_size=32,
    num_train_images=50_000,
    num_holdout_images=0,
    num_test_images=10_000,
)

DIGITS = DatasetFacts(
    name="digits",
    sha256="d161" * 16,
    encoding="digits",
    source="digits",
    num_classes=10,
    image_size=32,
    num_train_images=1437,
    num_holdout_images=0,
    num_test_images=360,
)

IMAGENET = DatasetFacts(
    name="imagenet",
    sha256="1" * 64,
    encoding="jpeg",
    source="imagenet",
    num_classes=1000,
    image_size=224,
    num_train_images=1_281_167,
    num_holdout_images=0,
    num_test_images=50_000,
)

IMAGENET_FACTS = DataFacts(
    sha256="1" * 64,
    num_classes=1000,
    image_size=None,
    num_train_images=1_281_167,
    num_test_images=50_000,
    mean_size=224,
    train_bytes=110 << 30,
    page_bytes=8 << 20,
)
"""ImageNet's photographs, kept as they come; the bytes are made up."""

_RESNET20: dict[str, Any] = {
    "name": "cifar10_r20",
    "seed": 0,
    "model": {"family": "cifar", "depth": 20, "shortcut": "A"},
    "data": {"name": "cifar10", "augment": {"pad": 4, "flip": True}},
    "train": {
        "global_batch_size": 128,
        "bn_group": 64,
        "iterations": 64_000,
        "lr": 0.1,
        "schedule": {"kind": "step", "milestones": [32_000, 48_000]},
        "precision": "off",
    },
}

PAPER_WARMUP = {"kind": "until_train_error", "lr": 0.01, "below": 80.0}


def make_job(changes: Mapping[str, Any] | None = None) -> JobSpec:
    """ResNet-20 of section 4.2 with `changes` by dotted path; None takes the key away."""
    content = copy.deepcopy(_RESNET20)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return JobSpec.model_validate(content)


def make_run_record(
    job: JobSpec,
    *,
    dataset: DatasetFacts = CIFAR10,
    run_id: str = "r-0001",
    key: str | None = None,
    minute: int = 0,
) -> RunRecord:
    """The record of a run asked for `minute` minutes after `START`."""
    steps_per_epoch = dataset.num_train_images // job.train.global_batch_size
    return RunRecord(
        at=START + timedelta(minutes=minute),
        run_id=run_id,
        name=job.name,
        key=key or f"key-of-{run_id}",
        job=job.model_dump(mode="json"),
        dataset=dataset,
        num_parameters=272_474,
        flops=40_813_184,
        num_steps=schedule_in_steps(job.train, steps_per_epoch).num_steps,
        steps_per_epoch=steps_per_epoch,
        command="resnet-cluster submit jobs/cifar10_r20.yaml",
        git_commit="0123abc",
        versions={"torch": "2.14.1"},
    )


def make_errors(top1_err: float, *, num_images: int = 10_000) -> Errors:
    """Errors over the test images."""
    return Errors(loss=0.5, top1_err=top1_err, top5_err=0.4, num_images=num_images)


def make_epoch(epoch: int, *, steps_per_epoch: int = 390) -> EpochRecord:
    """A finished epoch of the first attempt."""
    return EpochRecord(
        at=START + timedelta(minutes=epoch),
        epoch=epoch,
        attempt=1,
        step=epoch * steps_per_epoch,
        lr=0.1,
        train=make_errors(60.0 - epoch / 4, num_images=50_000),
        observed_test=make_errors(62.0 - epoch / 4),
        train_seconds=12.5,
        images_per_second=4000.0,
    )


def make_evaluation(run: RunRecord, top1_err: float, **changes: Any) -> EvaluationRecord:
    """The figure of a run's last weights on the test split."""
    fields: dict[str, Any] = {
        "at": run.at + timedelta(hours=3),
        "protocol": "single",
        "split": "test",
        "select": run.job["evaluate"]["select"],
        "ema": run.job["train"]["ema"] is not None,
        "step": run.num_steps,
        "errors": make_errors(top1_err, num_images=run.dataset.num_test_images),
    }
    return EvaluationRecord(**(fields | changes))


def make_attempt_events(
    state: RunState | None, *, attempt: int = 1
) -> list[AttemptStarted | AttemptTraining | AttemptEnded]:
    """The events of an attempt that trained, and ended unless `state` is None."""
    at = START + timedelta(hours=attempt)
    events: list[AttemptStarted | AttemptTraining | AttemptEnded] = [
        AttemptStarted(at=at, attempt=attempt, owner="laptop:4711"),
        AttemptTraining(at=at, attempt=attempt, world_size=2, device="H100", first_step=0),
    ]
    if state is not None:
        events.append(AttemptEnded(at=at, attempt=attempt, state=state, message="as told"))
    return events


def record_run(
    root: Path,
    run: RunRecord,
    *,
    top1_err: float | None = None,
    state: RunState | None = RunState.SUCCEEDED,
    num_epochs: int = 2,
) -> EventLog:
    """Write a run's events under `root`, as its driver and its workers would."""
    log = EventLog(root / run.run_id)
    log.record(run)
    for event in make_attempt_events(state):
        log.record(event)
    for epoch in range(1, num_epochs + 1):
        log.record(make_epoch(epoch, steps_per_epoch=run.steps_per_epoch))
    if top1_err is not None:
        log.record(make_evaluation(run, top1_err))
    return log


def make_summary(
    run: RunRecord, *, top1_err: float | None = None, state: RunState | None = RunState.SUCCEEDED
) -> RunSummary:
    """What the store would say of a run that ended with that error."""
    epoch = -(-run.num_steps // run.steps_per_epoch)
    return RunSummary(
        record=run,
        job=JobSpec.model_validate(run.job, strict=False),
        run_dir=Path("/runs") / run.run_id,
        attempts=(Attempt(number=1, started_at=run.at, training_at=run.at, state=state),),
        last_epoch=make_epoch(epoch, steps_per_epoch=run.steps_per_epoch),
        evaluations=() if top1_err is None else (make_evaluation(run, top1_err),),
    )
