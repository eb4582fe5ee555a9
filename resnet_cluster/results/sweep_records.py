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
    command: str

    @property
    def event_name(self) -> str:
        return f"plan-{self.number:03d}"


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
