"""From an ablation to a planned sweep: its trials, what stands in their way, and which are done."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_cluster.cluster.capacity import own_machine
from resnet_cluster.cluster.preflight import check_resources
from resnet_cluster.cluster.submission import PlannedJob, best_of, own_manifest, plan_on
from resnet_cluster.data import Manifest
from resnet_cluster.errors import JobError, PreflightError, UsageError
from resnet_cluster.planning import check_model
from resnet_cluster.results import ResultStore, RunSummary, SweepTrial
from resnet_cluster.results.sweeps import PREFIX
from resnet_cluster.spec import Ablation, LoadedJob, Point, Trial

MOST_NAMED = 5
"""Faults told one by one; of more the number is told."""


@dataclass(frozen=True, kw_only=True)
class InvalidPoint:
    """A combination that makes no job, and why."""

    point: Point
    error: JobError


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial whose job holds."""

    trial: Trial
    planned: PlannedJob | None
    """None where its data set is not there: its key is not known."""

    @property
    def name(self) -> str:
        """Name of its run."""
        return self.trial.loaded.spec.name

    @property
    def key(self) -> str:
        """Of its experiment; empty where it is not known."""
        return self.planned.plan.key if self.planned else ""

    def record(self) -> SweepTrial:
        """What a sweep keeps of it."""
        said: dict[str, Any] = self.trial.point.said
        seed = self.trial.loaded.spec.seed
        return SweepTrial(name=self.name, key=self.key, point=said, seed=seed)


@dataclass(frozen=True, kw_only=True)
class PlannedSweep:
    """An ablation as it will be run."""

    ablation: Ablation
    base: LoadedJob
    trials: tuple[PlannedTrial, ...]
    invalid: tuple[InvalidPoint, ...]
    """Combinations that are left out."""
    failures: tuple[PreflightError, ...]
    """What keeps trials from starting here, each once."""
    repeated: tuple[str, ...] = ()
    """Names of trials that would be the experiment of another, and are left out."""

    @property
    def manifest(self) -> Manifest:
        """The data set of the base, which a sweep that may start has."""
        planned = self.trials[0].planned
        assert planned is not None
        return planned.manifest


def plan_sweep(ablation: Ablation, *, skips_invalid: bool, embedded: bool = True) -> PlannedSweep:
    """Plan every trial; what is wrong is told of all of them together.

    Args:
        ablation: what varies.
        skips_invalid: leave out combinations that make no job.
        embedded: whether the trials are to run on this machine, which must hold them then.

    Raises:
        UsageError: combinations make no job and are not to be left out, or none is left.
        IntegrityError: the files of a data set are not what was prepared.
    """
    base = ablation.base()
    trials, invalid = _trials(ablation, base)
    failures: dict[str, PreflightError] = {}
    planned = []
    manifests: dict[str, Manifest | None] = {}
    for trial in trials:
        try:
            job = _planned(trial, manifests, failures)
        except JobError as error:
            invalid.append(InvalidPoint(point=trial.point, error=error))
            continue
        planned.append(PlannedTrial(trial=trial, planned=job))
    _check_invalid(invalid, has_others=bool(planned), skips_invalid=skips_invalid)
    if embedded:
        _check_machine(trials, failures)
    distinct = tuple(_distinct(planned))
    kept = {trial.name for trial in distinct}
    return PlannedSweep(
        ablation=ablation,
        base=base,
        trials=distinct,
        invalid=tuple(invalid),
        failures=tuple(failures.values()),
        repeated=tuple(trial.name for trial in planned if trial.name not in kept),
    )


def check_failures(failures: Sequence[PreflightError]) -> None:
    """Tell of all of them in one error.

    Raises:
        PreflightError: there is one.
    """
    if not failures:
        return
    if len(failures) == 1:
        raise failures[0]
    told = "".join(f"\n  - {error.message}\n    mend: {error.mend}" for error in failures)
    raise PreflightError(f"{len(failures)} things stand in the way:{told}", mend="mend all of them")


def found_runs(sweep: PlannedSweep, store: ResultStore) -> dict[str, RunSummary]:
    """The run that each trial would go on with, or that makes it unnecessary, by key."""
    by_key = store.by_keys(trial.key for trial in sweep.trials if trial.key)
    return _best(by_key)


def trial_runs(trials: Iterable[SweepTrial], store: ResultStore) -> dict[str, RunSummary]:
    """The same of a sweep that has been kept."""
    return _best(store.by_keys(trial.key for trial in trials))


def new_sweep_id() -> str:
    """An id that no sweep has."""
    return f"{PREFIX}{secrets.token_hex(4)}"


def _best(by_key: Mapping[str, tuple[RunSummary, ...]]) -> dict[str, RunSummary]:
    found = {key: best_of(runs) for key, runs in by_key.items()}
    return {key: run for key, run in found.items() if run is not None}


def _trials(ablation: Ablation, base: LoadedJob) -> tuple[list[Trial], list[InvalidPoint]]:
    trials, invalid = [], []
    for point in ablation.points():
        try:
            trial = ablation.trial(point, base.spec.seed)
            check_model(trial.loaded.spec, trial.loaded.source)
        except JobError as error:
            invalid.append(InvalidPoint(point=point, error=error))
        else:
            trials.append(trial)
    return trials, invalid


def _planned(
    trial: Trial, manifests: dict[str, Manifest | None], failures: dict[str, PreflightError]
) -> PlannedJob | None:
    """The planned job; None, and a failure more, where its data set is not there."""
    name = trial.loaded.spec.data.name
    if name not in manifests:
        try:
            manifests[name] = own_manifest(trial.loaded)
        except PreflightError as error:
            manifests[name] = None
            failures.setdefault(error.message, error)
    manifest = manifests[name]
    return None if manifest is None else plan_on(trial.loaded, manifest)


def _check_machine(trials: Iterable[Trial], failures: dict[str, PreflightError]) -> None:
    machine = own_machine()
    for trial in trials:
        try:
            check_resources(trial.loaded.spec, machine, trial.loaded.source)
        except PreflightError as error:
            failures.setdefault(error.message, error)


def _check_invalid(
    invalid: Sequence[InvalidPoint], *, has_others: bool, skips_invalid: bool
) -> None:
    if invalid and not (skips_invalid and has_others):
        told = "".join(f"\n  - {line}" for line in told_invalid(invalid))
        number = len({point_text(each.point) for each in invalid})
        what = "1 combination makes" if number == 1 else f"{number} combinations make"
        mend = "leave them out with --skip-invalid" if has_others else "none is left: vary others"
        raise UsageError(f"{what} no job:{told}", mend=mend)


def told_invalid(invalid: Sequence[InvalidPoint]) -> Iterator[str]:
    """A line for each of the first, and one for the rest."""
    lines = list(
        dict.fromkeys(f"{point_text(each.point)}: {each.error.message}" for each in invalid)
    )
    yield from lines[:MOST_NAMED]
    if len(lines) > MOST_NAMED:
        yield f"and {len(lines) - MOST_NAMED:,} more"


def point_text(point: Point) -> str:
    """`depth 20, shortcut none`; where nothing but the seed varies `seed 1 of them`."""
    said = point.said
    words = [f"{key.rpartition('.')[2]} {value_text(value)}" for key, value in said.items()]
    return ", ".join(words) or f"seed {point.seed + 1} of them"


def value_text(value: Any) -> str:
    """A value as it would be written in a job file."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {value_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _distinct(trials: Iterable[PlannedTrial]) -> Iterator[PlannedTrial]:
    """Trials of which none is the experiment of another."""
    seen: set[str] = set()
    for trial in trials:
        if not trial.key or trial.key not in seen:
            seen.add(trial.key)
            yield trial
