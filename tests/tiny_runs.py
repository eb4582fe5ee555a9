"""A job that trains in seconds, and what its run leaves behind."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sandbox import Command, Result, Sandbox

from resnet_cluster.checkpoints import load_weights

STEPS_PER_EPOCH = 22  # 1,438 images in batches of 64
NUM_EPOCHS = 3
EPOCHS = [f"epoch-{epoch:05d}" for epoch in range(1, NUM_EPOCHS + 1)]
"""The names of their events."""
CHECKPOINT_EVERY = 5
_TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 7,
    "model": {"family": "cifar", "depth": 8, "shortcut": "A"},
    "data": {"name": "digits", "augment": {"pad": 2, "flip": True}},
    "train": {
        "global_batch_size": 64,
        "bn_group": 16,
        "epochs": NUM_EPOCHS,
        "lr": 0.05,
        "schedule": {"kind": "cosine"},
        "precision": "off",
        "ema": {"decay": 0.9},
    },
    "resources": {"workers": 2, "checkpoint_every_steps": CHECKPOINT_EVERY},
}


@dataclass(frozen=True)
class Done:
    """A run that nobody disturbed, and the command that made it."""

    sandbox: Sandbox
    result: Result
    run_dir: Path


def tiny_job(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Three epochs of an 8-layer net on two workers, with `changes` by dotted path."""
    content = copy.deepcopy(_TINY)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    return content


def only_run(sandbox: Sandbox) -> Path:
    """The folder of the one run that there is."""
    (folder,) = sandbox.runs.glob("r-*")
    return folder


def events(run_dir: Path) -> dict[str, dict[str, Any]]:
    """The events of a run, by name."""
    paths = sorted((run_dir / "events").glob("*.json"))
    return {path.stem: json.loads(path.read_bytes()) for path in paths}


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """The weights that a run ended with."""
    return load_weights(run_dir / "weights.pt")


def assert_same_weights(one: Path, other: Path) -> None:
    """Two runs ended with the same weights, to the last bit."""
    left, right = weights(one), weights(other)
    assert list(left) == list(right)
    differing = [name for name in left if not torch.equal(left[name], right[name])]
    assert not differing


def checkpoint_steps(run_dir: Path) -> list[int]:
    """Steps of the checkpoints that a run has."""
    return sorted(int(path.name.removeprefix("step-")) for path in run_dir.glob("checkpoints/s*"))


def wait_until_mid_epoch(sandbox: Sandbox, command: Command, *, attempt: int = 1) -> Path:
    """The run's folder, once the attempt has written a checkpoint within an epoch."""

    def checkpoint_in_epoch() -> Path | None:
        assert command.process.poll() is None, command.err
        for folder in sandbox.runs.glob("r-*"):
            training = events(folder).get(f"attempt-{attempt:03d}-training")
            steps = [step for step in checkpoint_steps(folder) if step % STEPS_PER_EPOCH]
            if training and steps and steps[-1] > training["first_step"]:
                return folder
        return None

    found: Path = sandbox.wait_for(checkpoint_in_epoch)
    return found


def worker_pids(sandbox: Sandbox) -> list[int]:
    """Processes that train."""
    return [pid for pid, line in sandbox.processes().items() if line.startswith("ray::RayTrainW")]
