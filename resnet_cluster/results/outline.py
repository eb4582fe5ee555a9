"""What tables of many runs ask of each: little, so that there may be a hundred thousand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from resnet_cluster.results.records import DatasetFacts, RunState
from resnet_cluster.spec import JobSpec

WEIGHTS = "weights"
"""Name of the artefact with a run's last weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """What runs share that differ in their seeds; equal to itself alone, and so a quick key."""

    job: JobSpec
    """As the runs were asked for, but of any name and seed."""
    dataset: DatasetFacts
    num_parameters: int
    flops: int
    num_steps: int
    steps_per_epoch: int
    training_semantics: str
    """What the same recipe meant in the version that trained them; empty where it did not say."""
    imported_weights: str = ""
    """Hash of weights that were trained elsewhere; empty of our own."""


def training_semantics(versions: Mapping[str, str]) -> str:
    """That of a run, by the versions in its record."""
    return versions.get("training-semantics", "")


class FigureOutline(NamedTuple):
    """An evaluation's errors in percent, and whose they are."""

    protocol: str
    split: str
    select: str
    ema: bool
    step: int
    top1_err: float
    top5_err: float | None


class RunOutline(NamedTuple):
    """A run without its course and its provenance."""

    run_id: str
    name: str
    seed: int
    state: RunState
    epochs_done: int | None
    """Epochs finished of a run without a figure; of others the figure's steps tell."""
    has_weights: bool
    """Whether it has succeeded and keeps its last weights."""
    setup: Setup
    evaluations: tuple[FigureOutline, ...]
