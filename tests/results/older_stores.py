"""Stores of older revisions, from their dumps of SQLite into a database of either kind."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alembic.command
import sqlalchemy as sa
from alembic.config import Config

from resnet_cluster.results import schema
from resnet_cluster.results.migrate import MIGRATIONS

DUMPS = sorted(Path(__file__).parent.glob("store_*.sql"))


def revision_of(dump: Path) -> str:
    """Revision of the schema of a dump."""
    return dump.stem.removeprefix("store_")


def restore(dump: Path, url: str, folder: Path) -> None:
    """Make an empty database the store of a dump.

    Args:
        dump: of SQLite.
        url: of the database; a server's gets its tables from the migrations up to that revision,
            and the dump's rows.
        folder: for files that are needed meanwhile.
    """
    if url.startswith("sqlite"):
        path = Path(sa.make_url(url).database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        _execute(dump, path)
        return
    _execute(dump, folder / "dumped.db")
    source = sa.create_engine(f"sqlite:///{folder / 'dumped.db'}")
    target = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with source.connect() as there, target.begin() as here:
        _migrate(here, revision_of(dump))
        for table in _tables(here):
            rows = [_in_utc(row) for row in there.execute(sa.select(table)).mappings()]
            if rows:
                here.execute(table.insert(), rows)
    source.dispose()
    target.dispose()


def _execute(dump: Path, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(dump.read_text())
    connection.close()


def _migrate(connection: sa.Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, revision)


def _tables(connection: sa.Connection) -> list[sa.Table]:
    """As they are in the database, those that others point to first."""
    metadata = sa.MetaData()
    metadata.reflect(connection)
    tables = [table for table in metadata.sorted_tables if table.name != schema.VERSION_TABLE]
    for column in (column for table in tables for column in table.columns):
        if isinstance(column.type, sa.JSON):
            column.type.none_as_null = True
    return tables


def _in_utc(row: sa.RowMapping) -> dict[str, Any]:
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
        for name, value in row.items()
    }
