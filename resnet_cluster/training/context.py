"""What a training needs to know of the world: a small seam, so that it knows nothing of Ray.

Ray's worker gives one, a plain process gives `LocalContext`, tests give their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch

from resnet_cluster.evaluation import Score


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """A finished epoch."""

    epoch: int
    """Epochs finished, counted from 1."""
    step: int
    """Optimiser steps done."""
    lr: float
    """Learning rate of the last step."""
    train: Score
    holdout: Score | None
    observed_test: Score | None
    train_seconds: float
    """Wall time of the steps that this process did of the epoch."""
    images_per_second: float
    """Images trained on per second, over all ranks."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training is: lossy, at most about once a second, never stored."""

    step: int
    num_steps: int
    epoch: int
    """The epoch in progress, counted from 1."""
    lr: float
    loss: float
    """Mean over the epoch so far, as the error."""
    top1_err: float
    images_per_second: float
    remaining_s: float


@dataclass(frozen=True, kw_only=True)
class FinalResult:
    """Errors of the selected weights under a protocol, on the test split."""

    protocol: str
    select: str
    ema: bool
    step: int
    score: Score


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """The weights that a training ended with."""

    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class BadSample:
    """A damaged training image, which is trained on as black."""

    split: str
    place: int
    """In the split's beton."""
    why: str


@dataclass(frozen=True, kw_only=True)
class LayerNorms:
    """Root mean squares of a 3x3 layer's signals after its normalisation, and of their gradients.

    The gradients are those of the mean loss of a micro-batch.
    """

    name: str
    forward: float
    gradient: float


@dataclass(frozen=True, kw_only=True)
class NormsResult:
    """What the layers of a network were like in one micro-batch."""

    epoch: int
    """The epoch, counted from 1."""
    step: int
    """Optimiser steps done before."""
    layers: tuple[LayerNorms, ...]
    """In the order in which an image passes them."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended; a failure is an exception instead."""

    state: Literal["SUCCEEDED", "CANCELLED", "DIVERGED"]
    step: int
    message: str = ""


Report = EpochResult | Progress | FinalResult | WeightsFile | BadSample | NormsResult


class Context(Protocol):
    """The world of one rank."""

    @property
    def world_rank(self) -> int:
        """This process among `world_size`; with more than one, torch.distributed is initialised."""

    @property
    def world_size(self) -> int:
        """Number of processes that train together."""

    @property
    def local_rank(self) -> int:
        """This process among the `local_world_size` of its machine."""

    @property
    def local_world_size(self) -> int:
        """Number of processes on this machine."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""

    @property
    def run_dir(self) -> Path:
        """The run's folder, the same storage for every rank: checkpoints and weights go there."""

    @property
    def checkpoint_every_steps(self) -> int:
        """Steps between checkpoints within an epoch; 0 for those at the epochs' ends only."""

    @property
    def loader_threads(self) -> int:
        """Threads that decode images in this process."""

    def training_begins(self, first_step: int) -> None:
        """Called once on every rank, when the first batch is about to be asked for."""

    def report(self, report: Report) -> None:
        """Called with what happened.

        On every rank; but with a `WeightsFile` and a `NormsResult` on rank 0, whose they are, and
        with a `BadSample` on the rank that met it.
        """

    def stop_requested(self) -> bool:
        """Whether somebody wants the training to stop; asked about once a second."""
