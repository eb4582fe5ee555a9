"""Records of a sweep: what it varies, and the trials of each of its plans.

A sweep's folder is like a run's: it has events, and attempts that say who drives it and how that
ended. What its trials have done is in the runs of their keys.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from resnet_cluster.results.base import Count, Record


class SweepRecord(Record):
    """A sweep as it was first asked for; what it varies may grow, the job may not change."""

    kind: Literal["sweep"] = "sweep"
    sweep_id: str
    name: str
    job: dict[str, Any]
    """The resolved job that every trial changes."""
    dataset_name: str
    dataset_sha256: str
    training_semantics: int
    command: str
    git_commit: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def event_name(self) -> str:
        return "sweep"


class SweepTrial(BaseModel):
    """A trial: the experiment of a key."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    key: str
    point: dict[str, Any]
    """What it has of each key that varies."""
    seed: int


class SweepPlanRecord(Record):
    """The trials of a sweep, as one command asked for them; the last plan is the one that holds."""

    kind: Literal["sweep_plan"] = "sweep_plan"
    number: Count
    """Counted from 1."""
    axes: dict[str, list[Any]]
    """Values by dotted key."""
    trials: tuple[SweepTrial, ...]
    scheduler: str = "none"
    until_significant: bool = False
    """Whether trials are run only while they are needed to settle a pair."""
    command: str

    @property
    def event_name(self) -> str:
        return f"plan-{self.number:03d}"


class TrialEstimate(BaseModel):
    """What a trial was expected to take, from where it was."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    name: str
    seconds: float
    """Wall time from its turn to its end."""
    hours: float
    """Hours for which its process is there, times its GPUs, or its workers where they have none."""
    disk_bytes: Count
    """What its folder holds at its end."""


class SweepEstimateRecord(Record):
    """What was expected of an attempt at a sweep, before it began."""

    kind: Literal["sweep_estimate"] = "sweep_estimate"
    attempt: Count
    device: str
    """Name of what was probed."""
    at_once: Count
    """Trials at a time."""
    unit: Literal["GPU-hours", "worker-hours"]
    """Of all hours here, and of what the price is for."""
    seconds: float
    """Wall time of all trials together."""
    hours: float
    disk_bytes: Count
    price_per_hour: float | None = None
    trials: tuple[TrialEstimate, ...]

    @property
    def event_name(self) -> str:
        return f"estimate-{self.attempt:03d}"

    def cost(self, hours: float | None = None) -> float | None:
        """Price of so many hours, of all by default; None where none was given."""
        if self.price_per_hour is None:
            return None
        return self.price_per_hour * (self.hours if hours is None else hours)


class TrialOutcome(BaseModel):
    """What a trial took in an attempt at a sweep."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    seconds: float
    """For which its process was there, all tries together."""
    hours: float
    """The same in the unit of the whole."""


class SweepOutcomeRecord(Record):
    """What an attempt at a sweep took, in the units of its estimate."""

    kind: Literal["sweep_outcome"] = "sweep_outcome"
    attempt: Count
    unit: Literal["GPU-hours", "worker-hours"]
    seconds: float
    hours: float
    disk_bytes: Count
    """What the folders of the trials held at its end."""
    is_whole: bool = False
    """Whether all trials came to their ends, so that it can be held against the estimate."""
    trials: tuple[TrialOutcome, ...]

    @property
    def event_name(self) -> str:
        return f"outcome-{self.attempt:03d}"


class TrialStoppedRecord(Record):
    """A trial that the sweep's scheduler has ended early; with the same scheduler it is done."""

    kind: Literal["trial_stopped"] = "trial_stopped"
    run_id: str
    epoch: Count
    """Epochs it had finished."""
    rule: str
    """The scheduler."""

    @property
    def event_name(self) -> str:
        return f"stopped-{self.run_id}-{self.rule}"
