"""Back ends of the store that the contract is held against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from private_postgresql import PostgreSQL, running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A private PostgreSQL server, gone when the tests are."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'store.db'}"
    pytest.importorskip("psycopg", reason="PostgreSQL's driver psycopg is not installed")
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return f"postgresql://tester@/{server.create_database()}?host={server.folder}"
