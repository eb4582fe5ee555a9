"""What the tests of evaluation share: real ranks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ranks import RankServer, shared_server


@pytest.fixture(scope="session")
def server() -> Iterator[RankServer]:
    """Starts ranks."""
    server = shared_server()
    yield server
    server.close()
