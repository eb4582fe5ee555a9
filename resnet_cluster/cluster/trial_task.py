"""What the driver of a sweep sends to each trial: nothing here knows torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.progress import ProgressBoard
from resnet_cluster.results import RunRecord


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """A trial, as the process that runs it has to know it."""

    run_dir: Path
    record: RunRecord | None
    """The run's first event, where the trial is to write it; None of a run that there is."""
    is_rerun: bool
    """Whether it is to be run although its experiment has a run."""
    job: dict[str, Any]
    """The resolved job, as JSON."""
    dataset_folder: Path
    num_epochs: int
    num_cpus: int
    """CPU cores of each worker."""
    gpus_per_worker: float
    cluster: Cluster
    board: ProgressBoard
    sweep_dir: Path
    sweep_attempt: int
    is_packed: bool = False
    """Whether others are trained beside it in its process."""

    @property
    def workers(self) -> int:
        """Training processes; one trains in the trial's own."""
        return int(self.job["resources"]["workers"])
