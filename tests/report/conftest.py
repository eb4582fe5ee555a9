"""Runs of the paper's networks, as the store tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from factories import CIFAR10, make_job, make_run_record, make_summary
from fixture_types import MakeRun

from resnet_cluster.results import DatasetFacts, RunState, RunSummary


@pytest.fixture
def make_run() -> MakeRun:
    """A maker of runs."""
    minutes = count()

    def make(
        changes: Mapping[str, Any] | None = None,
        top1_err: float | None = None,
        *,
        dataset: DatasetFacts = CIFAR10,
        state: RunState | None = RunState.SUCCEEDED,
    ) -> RunSummary:
        minute = next(minutes)
        run = make_run_record(
            make_job(changes), dataset=dataset, run_id=f"r-{minute:04d}", minute=minute
        )
        return make_summary(run, top1_err=top1_err, state=state)

    return make
