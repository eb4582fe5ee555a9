"""What the tests of training share: real digits, and real ranks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from prepared import prepare_digits, prepare_few_digits
from ranks import RankServer, shared_server


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All the digits in their original 8x8: 1,438 to train on and 359 to test on."""
    return prepare_digits(tmp_path_factory.mktemp("digits"), image_size=8)


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of them: 200 to train on and 70 to test on."""
    return prepare_few_digits(tmp_path_factory.mktemp("few"), num_train=200, num_test=70)


@pytest.fixture(scope="session")
def server() -> Iterator[RankServer]:
    """Starts ranks."""
    server = shared_server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums have one order, and the cores are left to others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
