"""Data, the weights that a run has to end with, and a user, for runs on real Ray clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prepared import prepare_digits
from ranks import shared_server
from sandbox import Sandbox
from tiny_runs import Done, only_run, tiny_job

from resnet_cluster.spec import JobSpec


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder, with scikit-learn's digits enlarged to 16x16."""
    return prepare_digits(tmp_path_factory.mktemp("digits"), image_size=16).parent


@pytest.fixture(scope="session")
def reference(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny job, trained by two plain processes: whatever befalls a run, it ends as this did."""
    return _trained(digits, tmp_path_factory.mktemp("reference"), world_size=2)


@pytest.fixture(scope="session")
def reference_alone(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same by one process: sums of another order, and so other last bits."""
    return _trained(digits, tmp_path_factory.mktemp("reference-alone"), world_size=1)


def _trained(digits: Path, folder: Path, *, world_size: int) -> Path:
    shared_server().run(
        "rank_functions:train",
        folder,
        world_size=world_size,
        job=JobSpec.model_validate(tiny_job({"resources.workers": world_size})).model_dump_json(),
        dataset=str(digits / "digits"),
    )
    return folder


@pytest.fixture
def sandbox(digits: Path) -> Iterator[Sandbox]:
    """A user who has prepared the digits."""
    with Sandbox() as sandbox:
        sandbox.environment["RESNET_CLUSTER_DATA"] = str(digits)
        yield sandbox


@pytest.fixture(scope="session")
def done(digits: Path) -> Iterator[Done]:
    """The tiny job, submitted and done."""
    with Sandbox() as sandbox:
        sandbox.environment["RESNET_CLUSTER_DATA"] = str(digits)
        job = tiny_job({"evaluate": {"predictions_gb": 1e-4}})  # no room for those of ten crops
        result = sandbox.run("submit", sandbox.write_job(job))
        assert result.code == 0, result.err
        yield Done(sandbox, result, only_run(sandbox))
