"""A context for one plain process, or for ranks that torch.distributed already joins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from resnet_cluster.training.context import Report


def _ignore(report: Report) -> None:
    """Nobody listens."""


@dataclass(kw_only=True)
class LocalContext:
    """The world of a rank, given by hand: no cluster is needed to train."""

    run_dir: Path
    world_rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint_every_steps: int = 0
    loader_threads: int = 1
    report: Callable[[Report], None] = _ignore
    stop_requested: Callable[[], bool] = lambda: False
    training_begins: Callable[[int], None] = lambda first_step: None
