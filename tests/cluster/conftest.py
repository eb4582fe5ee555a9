"""Data, a run that nobody disturbed, and a user, for runs on real Ray clusters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prepared import prepare_digits
from sandbox import Result, Sandbox
from tiny_runs import only_run, tiny_job


@dataclass(frozen=True)
class Done:
    """A run that nobody disturbed, and the command that made it."""

    sandbox: Sandbox
    result: Result
    run_dir: Path


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder with the digits in it."""
    return prepare_digits(tmp_path_factory.mktemp("digits"), image_size=32).parent


@pytest.fixture(scope="session")
def done(digits: Path) -> Iterator[Done]:
    """The tiny job, submitted and done: whatever befalls its other runs, they end as it did."""
    with Sandbox() as sandbox:
        sandbox.environment["RESNET_CLUSTER_DATA"] = str(digits)
        result = sandbox.run("submit", sandbox.write_job(tiny_job()))
        assert result.code == 0, result.err
        yield Done(sandbox, result, only_run(sandbox))


@pytest.fixture
def sandbox(digits: Path) -> Iterator[Sandbox]:
    """A user who has prepared the digits."""
    with Sandbox() as sandbox:
        sandbox.environment["RESNET_CLUSTER_DATA"] = str(digits)
        yield sandbox
