"""What a caller is told of a run: frozen values, with no tie to the database they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from resnet_cluster.results.outline import (
    WEIGHTS,
    FigureOutline,
    RunOutline,
    Setup,
    training_semantics,
)
from resnet_cluster.results.records import (
    ArtefactRecord,
    DatasetFacts,
    EpochRecord,
    EvaluationRecord,
    RunRecord,
    RunState,
)
from resnet_cluster.spec import JobSpec


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try at a run: what its three events have said so far."""

    number: int
    owner: str | None = None
    """`host:pid` of the process that drives it."""
    address: str | None = None
    started_at: datetime | None = None
    world_size: int | None = None
    device: str | None = None
    first_step: int | None = None
    training_at: datetime | None = None
    state: RunState | None = None
    """Its end; None while it goes on."""
    message: str = ""
    ended_at: datetime | None = None


def run_state(attempts: Sequence[Attempt]) -> RunState:
    """State of a run, from its attempts in the order of their numbers."""
    if not attempts:
        return RunState.PENDING
    last = attempts[-1]
    return state_of(last.number, last.state, is_training=last.training_at is not None)


def state_of(number: int, end: RunState | None, *, is_training: bool) -> RunState:
    """State of a run whose last attempt has that number, from 1, and has ended so or goes on."""
    if end is not None:
        return end
    if is_training:
        return RunState.RUNNING
    return RunState.PENDING if number == 1 else RunState.RECOVERING


@dataclass(frozen=True, kw_only=True)
class UsesOfTestSet:
    """How often the errors on a data set's test images have been seen, by runs that are there.

    Whoever chooses among runs by errors that were seen fits to the test set: the more uses, the
    less a small difference says.
    """

    name: str
    """Of the data set, in the newest of the runs."""
    dataset_sha256: str
    num_runs: int
    num_figures: int
    """Weights measured under a protocol."""
    num_observed: int
    """Errors observed after epochs of a training, which steer nothing in it."""
    num_ensembles: int = 0
    num_comparisons: int = 0
    """Comparisons of our pixels with torchvision's, which count errors on both."""
    num_searches: int = 0
    """Searches for the best ensemble."""

    @property
    def total(self) -> int:
        """Uses of every kind."""
        seen = self.num_figures + self.num_observed + self.num_ensembles
        return seen + self.num_comparisons + self.num_searches


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run and all that is known of it but its earlier epochs."""

    record: RunRecord
    """The run as it was asked for, with its provenance."""
    job: JobSpec
    run_dir: Path
    attempts: tuple[Attempt, ...] = ()
    last_epoch: EpochRecord | None = None
    evaluations: tuple[EvaluationRecord, ...] = ()
    artefacts: tuple[ArtefactRecord, ...] = ()
    num_bad_samples: int = 0
    """Damaged images that it trained on as black."""
    state: RunState = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", run_state(self.attempts))

    @cached_property
    def setup(self) -> Setup:
        """What it shares with runs of other seeds."""
        imported = self.record.imported
        return Setup(
            job=self.job,
            dataset=self.record.dataset,
            num_parameters=self.record.num_parameters,
            flops=self.record.flops,
            num_steps=self.record.num_steps,
            steps_per_epoch=self.record.steps_per_epoch,
            training_semantics=training_semantics(self.record.versions),
            imported_weights=imported.weights_sha256 if imported else "",
        )

    @property
    def seed(self) -> int:
        """Seed of its job."""
        return self.job.seed

    @property
    def has_weights(self) -> bool:
        """Whether it has succeeded and keeps its last weights."""
        is_done = self.state is RunState.SUCCEEDED
        return is_done and any(artefact.name == WEIGHTS for artefact in self.artefacts)

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.record.run_id

    @property
    def name(self) -> str:
        """Name that the job gave it."""
        return self.record.name

    @property
    def key(self) -> str:
        """Hash of what changes the result."""
        return self.record.key

    @property
    def dataset(self) -> DatasetFacts:
        """Its data set, as it was when the run was planned."""
        return self.record.dataset

    @property
    def created_at(self) -> datetime:
        """When it was asked for, in UTC."""
        return self.record.at

    @property
    def epochs_done(self) -> int:
        """Epochs finished."""
        return self.last_epoch.epoch if self.last_epoch else 0


AnyRun = RunOutline | RunSummary
"""What tables can be made of."""

AnyFigure = FigureOutline | EvaluationRecord
"""A run's errors on a split, under a protocol."""
