"""Types of the fixtures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from factories import CIFAR10

from resnet_cluster.results import DatasetFacts, RunState, RunSummary


class MakeRun(Protocol):
    """Makes runs, each a minute newer than the last: `make_run({"model.depth": 32}, 7.4)`."""

    def __call__(
        self,
        changes: Mapping[str, Any] | None = None,
        top1_err: float | None = None,
        *,
        dataset: DatasetFacts = CIFAR10,
        state: RunState | None = RunState.SUCCEEDED,
    ) -> RunSummary:
        """A run, with a figure unless `top1_err` is None."""
