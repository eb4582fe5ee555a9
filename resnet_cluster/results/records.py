"""What a run leaves behind: immutable records, each one event in the run's storage.

A record's `event_name` is the name of its file under `<run>/events/`. It carries what makes the
record unique, so that the same fact written twice (a resumed epoch, say) is one file.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

SCHEMA_VERSION = 1

Count = Annotated[int, Field(ge=0, lt=2**63)]


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


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Base of the records: frozen; keys that a later version added are ignored on reading."""

    # JSON has no NaN: it would be written as null, and the loss of a network that blew up is one.
    model_config = ConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True, ser_json_inf_nan="strings"
    )

    schema_version: Count = SCHEMA_VERSION
    at: AwareDatetime = Field(default_factory=now)
    """When it happened, in UTC."""

    @property
    @abstractmethod
    def event_name(self) -> str:
        """File name of the event, without `.json`."""


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

    @property
    def event_name(self) -> str:
        return f"attempt-{self.attempt:03d}-ended"


class Errors(BaseModel):
    """Mean loss and percent errors over `num_images` images; top-5 is null below six classes."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    loss: float
    top1_err: float
    top5_err: float | None
    num_images: Count


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

    @staticmethod
    def name_of(protocol: str, split: str, select: str) -> str:
        """The event of a figure: a run has one of each."""
        return f"evaluation-{protocol}-{split}-{select}"


class EnsembleRecord(Record):
    """A figure: the errors of several runs' averaged scores on a split under a protocol.

    The first of its members, in the order of their ids, has the event.
    """

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[str, ...]
    """Ids of the runs, in order."""
    protocol: str
    average: str
    """What is averaged over views and runs: `softmax` or `logits`."""
    split: str
    select: str
    """The rule that chose the runs' weights; `mixed` where they differ."""
    num_moved: Count
    """Images on which a run's kept scores, rounded, judge otherwise than the run did."""
    errors: Errors

    @property
    def event_name(self) -> str:
        return self.name_of(self.members, self.protocol, self.average, self.split)

    @staticmethod
    def name_of(members: Sequence[str], protocol: str, average: str, split: str) -> str:
        """The event of a figure: the same runs have one of each."""
        digest = hashlib.sha256("\n".join(members).encode()).hexdigest()[:12]
        return f"ensemble-{digest}-{protocol}-{average}-{split}"


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


class ParityRecord(Record):
    """The run's network on a test split, through our path and through PIL and torchvision's."""

    kind: Literal["parity"] = "parity"
    dataset_name: str
    dataset_sha256: str
    pixels: str
    """Version of our path's crops, and what cut them: `v1, c` or `v1, pil`."""
    num_images: Count
    pixel_difference: float
    """Mean over all pixels, in grey levels of 255."""
    logit_difference: float
    """Mean over all images and classes."""
    max_logit_difference: float
    agreement: float
    """Percent of the images whose most likely class is the same."""
    top1_err: float
    """Percent wrong on our path."""
    reference_top1_err: float
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def event_name(self) -> str:
        return self.name_of(self.dataset_sha256, self.num_images)

    @staticmethod
    def name_of(dataset_sha256: str, num_images: int) -> str:
        """The event of a comparison: a run has one for so many images of a data set."""
        return f"parity-{dataset_sha256[:12]}-{num_images}"


class LayerStd(BaseModel):
    """A 3x3 layer, by the name of its convolution, and the deviation of its responses."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    name: str
    std: float


class ResponsesRecord(Record):
    """How strongly each 3x3 layer of the run's network responds to the images of a split."""

    kind: Literal["responses"] = "responses"
    split: str
    num_images: Count
    layers: tuple[LayerStd, ...]
    """In the order in which an image passes them."""

    @property
    def event_name(self) -> str:
        return self.name_of(self.split, self.num_images)

    @staticmethod
    def name_of(split: str, num_images: int) -> str:
        """The event of an analysis: a run has one for so many images."""
        return f"responses-{split}-{num_images}"


class LayerNorms(BaseModel):
    """Root mean squares of a 3x3 layer's signals after its normalisation, and of their gradients.

    The gradients are those of the mean loss of the micro-batch.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    name: str
    forward: float
    gradient: float


class NormsRecord(Record):
    """What the layers of the run's network were like in the first micro-batch of an epoch."""

    kind: Literal["norms"] = "norms"
    epoch: Count
    """The epoch, counted from 1."""
    step: Count
    """Optimiser steps done before."""
    layers: tuple[LayerNorms, ...]

    @property
    def event_name(self) -> str:
        return f"norms-{self.epoch:05d}"


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
    | ResponsesRecord
    | NormsRecord,
    Field(discriminator="kind"),
]

RECORD: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)
