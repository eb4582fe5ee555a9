"""Jobs that train in a second, and what training them leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from factories import make_job

from resnet_cluster.checkpoints import CheckpointFolder, load_weights
from resnet_cluster.data import load_manifest
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import (
    EpochResult,
    FinalResult,
    LocalContext,
    Outcome,
    Progress,
    Report,
    run,
)

STEPS_PER_EPOCH = 5
_TINY = {
    "model.depth": 8,
    "data.name": "few_digits",  # 200 to train on
    "data.augment": {"pad": 1, "flip": True},
    "train.global_batch_size": 40,
    "train.bn_group": 8,
    "train.iterations": 8,
    "train.lr": 0.05,
    "train.schedule": {"kind": "constant"},
    "evaluate.observe_every": 0,
}


def make_tiny_job(changes: Mapping[str, Any] | None = None) -> JobSpec:
    """Eight steps of an 8-layer net: an epoch of five steps, and three more."""
    return make_job(_TINY | dict(changes or {}))


def make_photo_job(changes: Mapping[str, Any] | None = None) -> JobSpec:
    """Four steps of the same net on photographs, at 64 pixels."""
    photos = {
        "data.name": "photos",
        "data.augment": {"pad": 0, "flip": True},
        "data.crop": {"kind": "random_resized", "size": 64},
        "data.view": {"resize": 73, "size": 64},
        "data.normalize": "channel_mean_std",
        "train.global_batch_size": 16,
        "train.iterations": 4,
    }
    return make_tiny_job(photos | dict(changes or {}))


class Journal:
    """What a training reported."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    @property
    def epochs(self) -> list[EpochResult]:
        """Results of the epochs."""
        return [report for report in self.reports if isinstance(report, EpochResult)]

    @property
    def finals(self) -> list[FinalResult]:
        """Results of the end."""
        return [report for report in self.reports if isinstance(report, FinalResult)]

    @property
    def progress(self) -> list[Progress]:
        """Positions."""
        return [report for report in self.reports if isinstance(report, Progress)]


def train(
    job: JobSpec,
    dataset: Path,
    run_dir: Path,
    *,
    checkpoint_every_steps: int = 0,
    stop_requested: Callable[[], bool] = lambda: False,
    device: torch.device | None = None,
) -> tuple[Outcome, Journal]:
    """Train a job in this process."""
    journal = Journal()
    context = LocalContext(
        run_dir=run_dir,
        report=journal.reports.append,
        checkpoint_every_steps=checkpoint_every_steps,
        stop_requested=stop_requested,
        device=device or torch.device("cpu"),
    )
    return run(job, load_manifest(str(dataset)), context), journal


def last_state(run_dir: Path) -> dict[str, Any]:
    """All that the newest checkpoint of a run holds."""
    folder = CheckpointFolder(run_dir)
    newest = folder.newest_valid()
    assert newest is not None
    return folder.load(newest.step)


def final_weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """The weights that a run ended with."""
    return load_weights(run_dir / "weights.pt")


def figures(result: EpochResult) -> dict[str, Any]:
    """What an epoch's result says, but for what the clock says."""
    clock = ("train_seconds", "images_per_second")
    return {key: value for key, value in asdict(result).items() if key not in clock}


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Nested values are equal to the last bit, and of the same types."""
    assert type(one) is type(other), f"{path}: {type(one)} and {type(other)}"
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, path
        assert torch.equal(one, other), f"{path}: up to {(one - other).abs().max()} apart"
    elif isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{path}.{place}")
    else:
        assert one == other, f"{path}: {one} and {other}"


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file, one a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]
