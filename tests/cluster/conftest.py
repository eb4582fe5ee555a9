"""Data and a job for runs on a real Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prepared import prepare_digits
from sandbox import Sandbox


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder with the digits in it."""
    return prepare_digits(tmp_path_factory.mktemp("digits"), image_size=32).parent


@pytest.fixture
def sandbox(digits: Path) -> Iterator[Sandbox]:
    """A user who has prepared the digits."""
    with Sandbox() as sandbox:
        sandbox.environment["RESNET_CLUSTER_DATA"] = str(digits)
        yield sandbox
