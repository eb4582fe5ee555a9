"""What the driver sends to each worker.

It passes through Ray Train's controller, which has to import what it is made of: nothing here knows
torch, or the controller would spend seconds on it before it asks for workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cluster.cluster.progress import ProgressBoard


@dataclass(frozen=True, kw_only=True)
class WorkerTask:
    """An attempt at a run, as each of its workers has to know it."""

    run_dir: Path
    attempt: int
    job: dict[str, Any]
    """The resolved job, as JSON."""
    dataset_folder: Path
    num_cpus: int
    """CPU cores of each worker."""
    board: ProgressBoard


@dataclass(frozen=True, kw_only=True)
class MeasureTask:
    """A run's weights under a protocol, as each of the workers that measure it has to know it."""

    run_dir: Path
    job: dict[str, Any]
    """The run's, as JSON; `evaluate` names one protocol, the one that is asked for."""
    dataset_folder: Path
    weights: Path
    weights_sha256: str
    step: int
    """Of the weights."""
    num_cpus: int
    """CPU cores of each worker."""
    board: ProgressBoard
