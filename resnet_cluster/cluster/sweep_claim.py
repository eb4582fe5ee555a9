"""From a planned sweep to its folder: the sweep of its name, grown where need be, or a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resnet_cluster.cluster.attempt import claim_attempt
from resnet_cluster.cluster.key_claim import alone
from resnet_cluster.cluster.sweep_plan import PlannedSweep, new_sweep_id, value_text
from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.results import (
    AttemptEnded,
    EventLog,
    RunState,
    SweepPlanRecord,
    SweepRecord,
    SweepSummary,
    load_sweep,
    named_sweep,
)
from resnet_cluster.results.provenance import command_line, git_commit, versions
from resnet_cluster.spec import TRAINING_SEMANTICS, flattened

NOT_COMPARED = ("name", "seed", "resources")
"""Of the job of a sweep: what changes no result, and the first seed, which only adds trials."""


def claim_sweep(
    sweep: PlannedSweep,
    runs_root: Path,
    *,
    scheduler: str = "none",
    until_significant: bool = False,
) -> SweepSummary:
    """The sweep of the same name with this plan, or a new one.

    Args:
        sweep: the plan.
        runs_root: the folder of runs and sweeps.
        scheduler: by which trials are stopped early, kept with the plan.
        until_significant: whether seeds are spent on open pairs alone, kept too.

    Raises:
        UsageError: the name is that of a sweep of another job, or of one that is running.
        PreflightError: its data or what a recipe means have moved since.
    """
    with alone(runs_root):
        existing = check_sweep(sweep, runs_root)
        folder = existing.sweep_dir if existing else runs_root / new_sweep_id()
        log = EventLog(folder)
        if existing is None:
            log.record(_record(sweep, folder.name))
        plans = existing.plans if existing else ()
        plan = _plan(sweep, len(plans) + 1, scheduler).model_copy(
            update={"until_significant": until_significant}
        )
        if not plans or _content(plans[-1]) != _content(plan):
            log.record(plan)
    claimed = load_sweep(folder)
    assert claimed is not None
    return claimed


def check_sweep(
    sweep: PlannedSweep, runs_root: Path, *, may_run: bool = False
) -> SweepSummary | None:
    """The sweep of the same name, which may be grown; None where there is none.

    Args:
        sweep: the plan.
        runs_root: the folder of runs and sweeps.
        may_run: whether somebody may be driving it.

    Raises:
        UsageError: it is of another job, or running.
        PreflightError: its data or what a recipe means have moved since.
    """
    name = sweep.ablation.name
    existing = named_sweep(runs_root, name)
    if existing is None:
        return None
    differing = list(_differences(existing.record.job, _base(sweep)))
    if differing:
        raise UsageError(
            f"the name {name!r} belongs to {existing.sweep_id}, which varies another job: "
            + "; ".join(differing[:5]),
            mend="give this sweep its own with --name",
        )
    if existing.state is RunState.RUNNING and not may_run:
        raise UsageError(
            f"{name} ({existing.sweep_id}) is running already",
            mend=f"`resnet-cluster wait {name}` waits for its end, `status {name}` shows its "
            f"trials, `stop {name}` ends it",
        )
    _check_same_world(existing, sweep)
    return existing


def _check_same_world(existing: SweepSummary, sweep: PlannedSweep) -> None:
    record, manifest = existing.record, sweep.manifest
    moved = []
    if record.dataset_sha256 != manifest.sha256:
        was, now = record.dataset_sha256[:12], manifest.sha256[:12]
        moved.append(f"the data set {manifest.name} was {was} and is {now}")
    if record.training_semantics != TRAINING_SEMANTICS:
        moved.append(
            f"the recipe's meaning was that of version {record.training_semantics} of the "
            f"training, and is that of {TRAINING_SEMANTICS}"
        )
    if moved:
        raise PreflightError(
            f"{existing.name} ({existing.sweep_id}) cannot go on as it began: {'; '.join(moved)}",
            mend="its trials would be other experiments: give a new sweep a --name of its own",
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, is_ = dict(flattened(before)), dict(flattened(now))
    for key in sorted(was.keys() | is_.keys()):
        if was.get(key) != is_.get(key) and key.partition(".")[0] not in NOT_COMPARED:
            yield f"{key} was {value_text(was.get(key))} and is {value_text(is_.get(key))}"


def _base(sweep: PlannedSweep) -> dict[str, Any]:
    return sweep.base.spec.model_dump(mode="json")


def _record(sweep: PlannedSweep, sweep_id: str) -> SweepRecord:
    return SweepRecord(
        sweep_id=sweep_id,
        name=sweep.ablation.name,
        job=_base(sweep),
        dataset_name=sweep.manifest.name,
        dataset_sha256=sweep.manifest.sha256,
        training_semantics=TRAINING_SEMANTICS,
        command=command_line(),
        git_commit=git_commit(),
        versions=versions(),
    )


def _content(plan: SweepPlanRecord) -> tuple[object, ...]:
    return plan.axes, plan.trials, plan.scheduler, plan.until_significant


def _plan(sweep: PlannedSweep, number: int, scheduler: str) -> SweepPlanRecord:
    axes = sweep.ablation.axes
    return SweepPlanRecord(
        number=number,
        axes={axis.key: [each.value for each in axis.values] for axis in axes},
        trials=tuple(trial.record() for trial in sweep.trials),
        scheduler=scheduler,
        command=command_line(),
    )


def conclude_done(sweep: SweepSummary) -> None:
    """Record that a sweep has ended of which nothing is left to be run."""
    if sweep.state is RunState.SUCCEEDED:
        return
    attempt = claim_attempt(sweep.sweep_dir, None)
    message = f"of {len(sweep.trials)} trials none was left to be run"
    ended = AttemptEnded(attempt=attempt, state=RunState.SUCCEEDED, message=message)
    EventLog(sweep.sweep_dir).record(ended)
