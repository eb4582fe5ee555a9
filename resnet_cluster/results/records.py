"""What a run leaves behind, and every kind of record that there is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from resnet_cluster.results.analyses import (
    EnsembleRecord,
    NormsRecord,
    ParityRecord,
    ResponsesRecord,
    SearchRecord,
)
from resnet_cluster.results.base import Count, Errors, Record
from resnet_cluster.results.sweep_records import (
    SweepEstimateRecord,
    SweepOutcomeRecord,
    SweepPlanRecord,
    SweepRecord,
    TrialStoppedRecord,
)


class RunState(StrEnum):
    """State of a run: that of its last attempt."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    RECOVERING = "RECOVERING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DIVERGED = "DIVERGED"
    LOST = "LOST"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens to the run unless somebody resumes it."""
        return self not in (RunState.PENDING, RunState.RUNNING, RunState.RECOVERING)

    @property
    def is_result(self) -> bool:
        """Whether it answers what was asked, so that the same again would: a divergence does."""
        return self in (RunState.SUCCEEDED, RunState.DIVERGED)


class DatasetFacts(BaseModel):
    """The data set of a run, as its manifest said when the run was planned."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    encoding: str
    """What the original images were: `png`, `jpeg`, `idx`, `digits`, ..."""
    source: str
    """What was prepared: `cifar10`, or the name of a folder or an archive."""
    num_classes: Count
    image_size: Count
    num_train_images: Count
    """Images trained on: the training split less the hold-out."""
    num_holdout_images: Count
    num_test_images: Count


class ImportedWeights(BaseModel):
    """Where the weights of a run come from that this tool has not trained."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str
    """Name of the file, without its folder."""
    format: Literal["safetensors", "torch"]
    sha256: str
    """Of the file."""
    weights_sha256: str
    """Of the names, shapes and values of the tensors, whatever file they are in."""


class RunRecord(Record):
    """A run as it was asked for. One for each run; written before anything else."""

    kind: Literal["run"] = "run"
    run_id: str
    name: str
    key: str
    """Hash of what changes the result; the same key is the same experiment."""
    job: dict[str, Any]
    """The resolved job, as JSON."""
    dataset: DatasetFacts
    num_parameters: Count
    flops: Count
    """Multiply-adds of one image."""
    num_steps: Count
    steps_per_epoch: Count
    command: str
    """The command line that asked for it."""
    git_commit: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    imported: ImportedWeights | None = None
    """None where the run has trained its weights: of an import the job's recipe was not followed,
    and `num_steps` is 0."""

    @property
    def event_name(self) -> str:
        return "run"


class AttemptStarted(Record):
    """A try at a run has begun: its owner is known, its workers are not yet training."""

    kind: Literal["attempt_started"] = "attempt_started"
    attempt: Count
    owner: str
    """`host:pid` of the process that drives it, for people."""
    identity: str = ""
    """The same process, told from any other on any machine."""
    address: str | None = None
    """Address of the Ray cluster; None for an embedded one."""

    @property
    def event_name(self) -> str:
        return f"attempt-{self.attempt:03d}-started"


class AttemptTraining(Record):
    """The workers of an attempt have begun to train."""

    kind: Literal["attempt_training"] = "attempt_training"
    attempt: Count
    world_size: Count
    device: str
    """Name of the device, as its maker gives it."""
    first_step: Count
    """Global step it goes on from; 0 for a fresh start."""

    @property
    def event_name(self) -> str:
        return f"attempt-{self.attempt:03d}-training"


class AttemptEnded(Record):
    """An attempt has ended; written by exactly one process."""

    kind: Literal["attempt_ended"] = "attempt_ended"
    attempt: Count
    state: RunState
    message: str = ""
    is_over_budget: bool = False
    """Whether it was stopped because a sweep had used what it might use."""

    @property
    def event_name(self) -> str:
        return f"attempt-{self.attempt:03d}-ended"


class EpochRecord(Record):
    """A finished epoch. `train` is over the epoch's augmented images, while the weights moved."""

    kind: Literal["epoch"] = "epoch"
    epoch: Count
    """Epochs finished, counted from 1."""
    attempt: Count
    step: Count
    """Optimiser steps done when it ended."""
    lr: float
    """Learning rate of its last step."""
    train: Errors
    holdout: Errors | None = None
    observed_test: Errors | None = None
    """Seen, and used for nothing: it draws curves, and never selects or steers."""
    train_seconds: float
    """Wall time of the epoch's training steps in this attempt."""
    images_per_second: float

    @property
    def event_name(self) -> str:
        return f"epoch-{self.epoch:05d}"


class EvaluationRecord(Record):
    """A figure: the errors of chosen weights on a split under a protocol."""

    kind: Literal["evaluation"] = "evaluation"
    protocol: str
    split: str
    select: str
    """The rule that chose the weights: `final` or `best_holdout`."""
    ema: bool
    step: Count
    """Step of the weights."""
    errors: Errors

    @property
    def event_name(self) -> str:
        return self.name_of(self.protocol, self.split, self.select)

    @property
    def top1_err(self) -> float:
        """Error in percent."""
        return self.errors.top1_err

    @property
    def top5_err(self) -> float | None:
        """Error in percent; None below six classes."""
        return self.errors.top5_err

    @staticmethod
    def name_of(protocol: str, split: str, select: str) -> str:
        """The event of a figure: a run has one of each."""
        return f"evaluation-{protocol}-{split}-{select}"


class ArtefactRecord(Record):
    """A file that the run keeps, such as its final weights."""

    kind: Literal["artefact"] = "artefact"
    name: str
    path: str
    """Path within the run's folder."""
    sha256: str
    num_bytes: Count

    @property
    def event_name(self) -> str:
        return f"artefact-{self.name}"


class BadSampleRecord(Record):
    """A damaged image that was trained on as black."""

    kind: Literal["bad_sample"] = "bad_sample"
    split: str
    place: Count
    """In the split's beton."""
    why: str

    @property
    def event_name(self) -> str:
        return f"bad-{self.split}-{self.place:09d}"


AnyRecord = Annotated[
    RunRecord
    | AttemptStarted
    | AttemptTraining
    | AttemptEnded
    | EpochRecord
    | EvaluationRecord
    | EnsembleRecord
    | ArtefactRecord
    | BadSampleRecord
    | ParityRecord
    | SearchRecord
    | SweepRecord
    | SweepPlanRecord
    | SweepEstimateRecord
    | SweepOutcomeRecord
    | TrialStoppedRecord
    | ResponsesRecord
    | NormsRecord,
    Field(discriminator="kind"),
]

RECORD: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)
