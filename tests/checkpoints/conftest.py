"""What the tests of checkpoints share: real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ranks import RankServer, shared_server


@pytest.fixture(scope="session")
def server() -> Iterator[RankServer]:
    """Starts processes."""
    server = shared_server()
    yield server
    server.close()
