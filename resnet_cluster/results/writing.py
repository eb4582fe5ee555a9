"""Rows of a run's events, written and removed: one writer of a run at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resnet_cluster.results import schema
from resnet_cluster.results.base import Record
from resnet_cluster.results.database import Database
from resnet_cluster.results.records import AnyRecord, RunRecord
from resnet_cluster.results.rows import TABLES, attempt_row, row_of
from resnet_cluster.results.setups import setup_columns

_BLOCK = 500
"""Runs that are removed at once: a statement holds no more than some thousands of values."""


class BrokenRunError(Exception):
    """A run's folder that cannot be taken in; the others can."""


def forget(database: Database, run_ids: Iterable[str]) -> None:
    """Remove runs from the store. Their folders, if they remain, are ingested again."""
    gone = sorted(run_ids)
    for first in range(0, len(gone), _BLOCK):
        block = gone[first : first + _BLOCK]
        database.patiently(functools.partial(_forget, database, block))


def _forget(database: Database, run_ids: Sequence[str]) -> None:
    with database.writing() as connection:
        _lock(connection, run_ids)
        for table in reversed(schema.metadata.sorted_tables):
            if "run_id" in table.columns:
                connection.execute(table.delete().where(table.c.run_id.in_(run_ids)))


def insert(
    connection: sa.Connection, run_id: str, root: Path, folder: str, records: dict[str, AnyRecord]
) -> None:
    """Write those events of a run that the store does not hold by now.

    Raises:
        BrokenRunError: the folder is a copy of another.
        ConflictError: another process wrote or removed the run meanwhile (see `writing`).
    """
    _lock(connection, [run_id])
    events = schema.events
    held = set(connection.scalars(sa.select(events.c.name).where(events.c.run_id == run_id)))
    new = {name: record for name, record in records.items() if name not in held}
    owner: dict[str, Any] = {"run_id": run_id, "folder": folder}
    if "run" in new:
        owner["storage_id"] = _storage_id(connection, root)
    elif "run" in records:
        _move(connection, run_id, root, folder)
    for kind, table in TABLES.items():
        rows = [_row(record, owner) for record in new.values() if type(record) is kind]
        if rows:
            connection.execute(table.insert(), rows)
    for record in new.values():
        upsert_attempt(connection, run_id, record)
    if new:
        connection.execute(events.insert(), [{"run_id": run_id, "name": name} for name in new])


def _lock(connection: sa.Connection, run_ids: Sequence[str]) -> None:
    """Make a server's other writers of these runs wait; SQLite has one writer at a time.

    Else two that touch a run's rows in another order wait for each other, and what is removed may
    get new rows meanwhile.
    """
    runs = schema.runs
    query = sa.select(runs.c.run_id).where(runs.c.run_id.in_(run_ids)).order_by(runs.c.run_id)
    connection.execute(query.with_for_update())


def _row(record: Record, owner: Mapping[str, Any]) -> dict[str, Any]:
    more = setup_columns(record) if isinstance(record, RunRecord) else {}
    return row_of(record, **owner, **more, event_name=record.event_name)


def _storage_id(connection: sa.Connection, root: Path) -> int:
    storages = schema.storages
    query = sa.select(storages.c.storage_id).where(storages.c.root == str(root))
    if connection.scalar(query) is None:
        connection.execute(storages.insert(), {"root": str(root)})
    return int(connection.execute(query).scalar_one())


def _move(connection: sa.Connection, run_id: str, root: Path, folder: str) -> None:
    runs, storages = schema.runs, schema.storages
    query = sa.select(storages.c.root, runs.c.folder).join(storages).where(runs.c.run_id == run_id)
    first = connection.execute(query).one()
    if (first.root, first.folder) == (str(root), folder):
        return
    if (Path(first.root) / first.folder).is_dir():
        raise BrokenRunError(f"it is a copy of {Path(first.root) / first.folder}")
    place = {"storage_id": _storage_id(connection, root), "folder": folder}
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(place))


def upsert_attempt(connection: sa.Connection, run_id: str, record: AnyRecord) -> None:
    """Write what an event says of its attempt, if it is about one."""
    row = attempt_row(record)
    if not row:
        return
    attempts = schema.attempts
    update = attempts.update().where(
        attempts.c.run_id == run_id, attempts.c.number == row["number"]
    )
    if connection.execute(update.values(row)).rowcount == 0:
        connection.execute(attempts.insert(), {"run_id": run_id, **row})
