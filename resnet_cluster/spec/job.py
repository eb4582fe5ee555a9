"""What a user asks for: one training of one network on one data set.

A job says what changes the result (`model`, `data`, `train`, `evaluate.select`, `seed`) and, apart
from it, what does not (`name`, `resources`, `evaluate.protocols`). No choice that makes an
experiment what it is has a default: the job file of a run is its description.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from resnet_cluster.spec.base import Spec, SpecError, number_text
from resnet_cluster.spec.data import DataSpec, RandomResizedSpec, Side, ViewSpec
from resnet_cluster.spec.model import ModelSpec
from resnet_cluster.spec.train import PlateauSchedule, TrainSpec

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Run names: they are folders, ids of Ray's jobs and words on a terminal."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

ProtocolKind = Literal["single", "flip", "centre", "ten-crop", "multi-scale"]
Average = Literal["softmax", "logits"]


class EvaluateSpec(Spec):
    """What is measured, and on which weights."""

    protocols: Annotated[tuple[ProtocolKind, ...], Field(strict=False, min_length=1)] = ("single",)
    """Protocols run on the test split when training has ended: `single` is the view of `data.view`,
    `flip` that and its mirror image, `centre` the view of `evaluate.centre`, `ten-crop` corners and
    centre of `data.view` and their mirror images, `multi-scale` whole images."""
    scales: Annotated[tuple[Side, ...], Field(strict=False, min_length=1, max_length=8)] = (
        224,
        256,
        384,
        480,
        640,
    )
    """Lengths of the shorter side that multi-scale measures, in pixels (the paper's by default)."""
    centre: ViewSpec | None = None
    """The view of `centre`: networks are often better at larger images than those that they were
    trained at (Touvron et al. 2019, FixRes)."""
    average: Average = "softmax"
    """What is averaged over the views of an image: softmax, as Krizhevsky et al. did, or logits."""
    predictions_gb: Annotated[float, Field(ge=0, le=1e6)] = 2.5
    """Room for what the network says of each view, in GB of the run's storage: ensembles and paired
    tests need no GPU then. A protocol for which too little is left is measured and not kept."""
    select: Literal["final", "best_holdout"] = "final"
    """Weights that the protocols measure: the last, or those with the lowest hold-out error."""
    observe_every: Annotated[int, Field(ge=0, le=10**9)] = 1
    """Epochs between looks at the test error while training; observed only, it steers nothing."""
    norms_every: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Epochs between records of how large each 3x3 layer's signals are, forward and backward, in
    the epoch's first micro-batch; 0 records none."""

    @model_validator(mode="after")
    def _measures_once(self) -> EvaluateSpec:
        if len(set(self.protocols)) < len(self.protocols):
            raise SpecError("protocols", "a protocol is listed twice", mend="list each once")
        if list(self.scales) != sorted(set(self.scales)):
            message = "the scales do not rise from one to the next"
            raise SpecError("scales", message, mend="list them in order, each once")
        if "centre" in self.protocols and self.centre is None:
            message = "the protocol centre needs its view, and there is no evaluate.centre"
            mend = "add one, such as `centre: {resize: 329, size: 288}`"
            raise SpecError("centre", message, mend=mend)
        return self


class ResourceSpec(Spec):
    """What a run is given. Nothing here changes its result."""

    workers: Annotated[int, Field(ge=1, le=4096)] = 1
    """Training processes; on GPUs one for each GPU."""
    gpu: Literal["auto", "yes", "no"] = "auto"
    """Whether each worker takes a GPU; `auto` takes one where the cluster has one."""
    cpus_per_worker: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU cores of a worker: its loader and, without a GPU, its arithmetic. By default a GPU's
    share of the machine's, or one where there is no GPU."""
    checkpoint_every_steps: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Steps between checkpoints within an epoch; 0 writes one at each epoch's end only."""


class JobSpec(Spec):
    """One training, wholly described."""

    name: Name
    """The run's name, by which it is found: up to 63 of a-z, 0-9, _ and -, not beginning with the
    last two."""
    seed: Seed
    """Seed of the weights, the order of the images and their augmentation."""
    model: ModelSpec
    """The network."""
    data: DataSpec
    """The images."""
    train: TrainSpec
    """The recipe."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """What is measured."""
    resources: ResourceSpec = ResourceSpec()
    """What the run is given."""

    @model_validator(mode="after")
    def _has_its_holdout(self) -> JobSpec:
        if self.data.holdout:
            return self
        schedule = self.train.schedule
        mend = "set data.holdout to a number of images, such as the paper's 5000 of 50000"
        if isinstance(schedule, PlateauSchedule) and schedule.on == "holdout":
            message = "train.schedule watches the error of the hold-out, and data.holdout is 0"
            raise SpecError("train.schedule.on", message, mend=f"{mend}; or watch `on: train`")
        if self.evaluate.select == "best_holdout":
            message = "evaluate.select needs the error of the hold-out, and data.holdout is 0"
            raise SpecError("evaluate.select", message, mend=f"{mend}; or select `final`")
        return self

    @model_validator(mode="after")
    def _records_what_it_computes(self) -> JobSpec:
        if self.evaluate.norms_every and self.train.compile:
            message = "a compiled network's layers cannot be watched, and train.compile is on"
            mend = "set evaluate.norms_every to 0, or train.compile to false"
            raise SpecError("evaluate.norms_every", message, mend=mend)
        return self

    @model_validator(mode="after")
    def _grows_within_its_length(self) -> JobSpec:
        crop, train = self.data.crop, self.train
        length = train.iterations if train.epochs is None else train.epochs
        assert length is not None
        if isinstance(crop, RandomResizedSpec) and crop.grow and crop.grow.end > length:
            at, end = number_text(crop.grow.end), number_text(length)
            message = f"the crops grow until {at}, and the training ends at {end}"
            raise SpecError("data.crop.grow.end", message, mend="let them grow earlier")
        return self
