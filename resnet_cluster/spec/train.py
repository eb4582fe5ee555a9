"""The recipe: how the weights move (sections 3.4 and 4.2 of the paper)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from resnet_cluster.spec.base import Spec, SpecError, number_text

Percent = Annotated[float, Field(gt=0, le=100)]
Length = Annotated[float, Field(gt=0, le=1e9)]
Rate = Annotated[float, Field(gt=0, le=1e6)]


class StepSchedule(Spec):
    """The rate is multiplied by `gamma` at each milestone."""

    kind: Literal["step"]
    milestones: Annotated[tuple[Length, ...], Field(strict=False)]
    """Places of the drops, in the unit of the job's length (epochs or iterations)."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of each drop."""

    @model_validator(mode="after")
    def _rising(self) -> StepSchedule:
        if list(self.milestones) != sorted(set(self.milestones)):
            message = "milestones do not rise from one to the next"
            raise SpecError("milestones", message, mend="list them in order, each once")
        return self


class PlateauSchedule(Spec):
    """The rate is multiplied by `gamma` when an error has not fallen for `patience` epochs."""

    kind: Literal["plateau"]
    on: Literal["holdout", "train"]
    """The error that is watched: the hold-out's or the training images', never the test set's."""
    patience: Annotated[int, Field(ge=1, le=10**9)] = 5
    """Epochs without an improvement that bring a drop."""
    min_delta: Annotated[float, Field(ge=0, le=100)] = 0.1
    """Percentage points that count as an improvement."""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor of each drop."""


class CosineSchedule(Spec):
    """Half a cosine from the full rate to `final_lr` at the end."""

    kind: Literal["cosine"]
    final_lr: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Rate at the end."""


class LinearSchedule(Spec):
    """A straight line from the full rate to `final_lr` at the end."""

    kind: Literal["linear"]
    final_lr: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Rate at the end."""


class ConstantSchedule(Spec):
    """The same rate throughout."""

    kind: Literal["constant"]


Schedule = Annotated[
    StepSchedule | PlateauSchedule | CosineSchedule | LinearSchedule | ConstantSchedule,
    Field(discriminator="kind"),
]


class LinearWarmup(Spec):
    """The rate rises on a straight line from `start_lr` to the schedule's over `length`."""

    kind: Literal["linear"]
    length: Length
    """Length of the rise, in the unit of the job's length."""
    start_lr: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Rate at the first step."""


class ErrorWarmup(Spec):
    """A low rate until the training error falls below a bound: the paper's rule for 110 layers."""

    kind: Literal["until_train_error"]
    lr: Rate
    """Rate while it lasts (0.01 in the paper)."""
    below: Percent
    """Training error, in percent, that ends it (80 in the paper)."""
    window: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Iterations over which that error is measured (not stated in the paper)."""


Warmup = Annotated[LinearWarmup | ErrorWarmup, Field(discriminator="kind")]


class EmaSpec(Spec):
    """An exponential moving average of the weights, measured in their place."""

    decay: Annotated[float, Field(ge=0, lt=1)]
    """Share of the old average kept at each optimiser step."""


class TrainSpec(Spec):
    """The recipe of one training. Exactly one of `epochs` and `iterations` is given."""

    global_batch_size: Annotated[int, Field(ge=1, le=1_000_000)]
    """Images of one optimiser step, over all workers."""
    bn_group: Annotated[int, Field(ge=2, le=1_000_000)]
    """Images that are batch-normalised together: the micro-batch. Divides the global batch."""
    epochs: Length | None = None
    """Length in passes over the training images; may be a fraction."""
    iterations: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Length in optimiser steps."""
    lr: Rate
    """Learning rate of the global batch, before the schedule."""
    schedule: Schedule
    """How the rate falls."""
    warmup: Warmup | None = None
    """How the rate begins."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    nesterov: bool = False
    """Nesterov's momentum."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """Decay added to the gradient."""
    decay_bn_and_bias: bool = True
    """Whether batch normalisation's parameters and biases decay too (the paper's do)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes."""
    ema: EmaSpec | None = None
    """Moving average of the weights; none by default."""
    precision: Literal["off", "bf16", "fp16"]
    """Mixed precision of the forward pass: `off` is float32."""
    channels_last: bool = True
    """Memory layout of the images and the convolutions."""
    compile: bool = False
    """Whether the network goes through torch.compile."""
    shortened_from: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The job file's own length where the run's is another, shorter or longer: `64000 iterations`.
    Set by the reader, never by hand."""

    @model_validator(mode="after")
    def _has_one_length(self) -> TrainSpec:
        mend = "keep one of train.epochs and train.iterations"
        if self.epochs is None and self.iterations is None:
            raise SpecError("", "train gives no length", mend=mend.replace("keep", "give"))
        if self.epochs is not None and self.iterations is not None:
            raise SpecError("iterations", "train gives its length twice", mend=mend)
        return self

    @model_validator(mode="after")
    def _groups_fill_the_batch(self) -> TrainSpec:
        batch, group = self.global_batch_size, self.bn_group
        if batch % group:
            message = f"train.bn_group {group} does not divide train.global_batch_size {batch}"
            raise SpecError("bn_group", message, mend=_divisors_near(batch, group))
        return self

    @model_validator(mode="after")
    def _lies_within_its_length(self) -> TrainSpec:
        length = self.iterations if self.epochs is None else self.epochs
        unit = "iterations" if self.epochs is None else "epochs"
        assert length is not None
        if isinstance(self.schedule, StepSchedule):
            for place, milestone in enumerate(self.schedule.milestones):
                if milestone >= length:
                    at, end = number_text(milestone), number_text(length)
                    message = f"the milestone {at} is not within the {end} {unit}"
                    key = f"schedule.milestones.{place}"
                    raise SpecError(key, message, mend="leave it out, or train for longer")
        if isinstance(self.warmup, LinearWarmup) and self.warmup.length > length:
            longer, end = number_text(self.warmup.length), number_text(length)
            message = f"the warm-up of {longer} is longer than the {end} {unit}"
            mend = "shorten it, or train for longer"
            raise SpecError("warmup.length", message, mend=mend)
        return self

    @model_validator(mode="after")
    def _has_momentum_for_nesterov(self) -> TrainSpec:
        if self.nesterov and not self.momentum:
            message = "train.nesterov needs a train.momentum above 0, and it is 0"
            mend = "set train.momentum, 0.9 in the paper, or leave nesterov out"
            raise SpecError("nesterov", message, mend=mend)
        return self


def _divisors_near(batch: int, group: int) -> str:
    """The groups on either side of `group` that divide the batch, as a mend."""
    divisors = [size for size in range(2, batch + 1) if batch % size == 0]
    near = [size for size in divisors if size < group][-1:] + [s for s in divisors if s > group][:1]
    if not near:
        return "set train.global_batch_size to a multiple of train.bn_group"
    return f"set train.bn_group to {' or '.join(map(str, near))}"
