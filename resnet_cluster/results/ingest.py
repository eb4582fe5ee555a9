"""Takes the runs' new events into the store; may be repeated, and done by two processes at once."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from resnet_cluster.errors import IntegrityError, PreflightError
from resnet_cluster.results import schema
from resnet_cluster.results.base import Record
from resnet_cluster.results.database import Database
from resnet_cluster.results.events import EventLog
from resnet_cluster.results.records import (
    AnyRecord,
    AttemptEnded,
    RunRecord,
    RunState,
)
from resnet_cluster.results.rows import TABLES, attempt_row, row_of
from resnet_cluster.results.setups import setup_columns
from resnet_cluster.results.sweeps import PREFIX as SWEEP_PREFIX
from resnet_cluster.spec import load_resolved


@dataclass(frozen=True)
class _Known:
    """What the store holds of a run."""

    run_id: str
    events: frozenset[str]


class _BrokenRunError(Exception):
    """A run's folder that cannot be taken in; the others can."""


def ingest(database: Database, runs_root: Path) -> tuple[str, ...]:
    """Read the events that the store lacks, of every storage that it knows and of `runs_root`.

    Returns:
        A sentence for each thing that could not be read; the rest is in the store.

    Raises:
        PreflightError, IntegrityError: the store cannot be written (see `Database.writing`).
    """
    warnings = []
    for root in sorted({*_roots(database), runs_root}):
        warnings += _ingest_storage(database, root)
    return tuple(warnings)


def forget(database: Database, run_ids: Iterable[str]) -> None:
    """Remove runs from the store. Their folders, if they remain, are ingested again."""
    gone = list(run_ids)
    with database.writing() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if "run_id" in table.columns:
                connection.execute(table.delete().where(table.c.run_id.in_(gone)))


def _roots(database: Database) -> list[Path]:
    """The storages that have runs."""
    runs, storages = schema.runs, schema.storages
    query = sa.select(storages.c.root).where(
        sa.exists().where(runs.c.storage_id == storages.c.storage_id)
    )
    with database.reading() as connection:
        return [Path(root) for root in connection.scalars(query)]


def _known_runs(
    database: Database, root: Path, *where: sa.ColumnElement[bool]
) -> dict[str, _Known]:
    """What the store holds of a storage's runs that meet every condition, by folder."""
    runs, storages, events = schema.runs, schema.storages, schema.events
    chosen = sa.select(runs.c.run_id, runs.c.folder).join(storages)
    chosen = chosen.where(storages.c.root == str(root), *where)
    run_ids = chosen.with_only_columns(runs.c.run_id)
    query = sa.select(events.c.run_id, events.c.name).where(events.c.run_id.in_(run_ids))
    names: dict[str, set[str]] = defaultdict(set)
    with database.reading() as connection:
        for run_id, name in connection.execute(query):
            names[run_id].add(name)
        found = connection.execute(chosen).all()
    return {folder: _Known(run_id, frozenset(names[run_id])) for run_id, folder in found}


def _ingest_storage(database: Database, root: Path) -> list[str]:
    try:
        # Looked at before the store is asked: of a storage that is not there, the runs are many.
        os.scandir(root).close()
        # Asked before the folders are listed: a run that is new to both has not vanished.
        ours = _known_runs(database, root)
        folders = sorted(
            path.name
            for path in root.iterdir()
            if path.is_dir() and not path.name.startswith(SWEEP_PREFIX)
        )
    except OSError as error:
        # A storage that is not there now (a laptop away from its cluster) keeps its runs.
        has_runs = root in _roots(database)
        return [f"{root}: cannot be read ({error.strerror}); its runs are as last seen"] * has_runs
    vanished = ours.keys() - set(folders)
    # Machines that share a server's database may each have other runs under the same path.
    if vanished and database.is_sqlite:
        forget(database, (ours[folder].run_id for folder in vanished))
    warnings = []
    for folder in folders:
        try:
            warnings += _ingest_patiently(database, root, folder, ours.get(folder))
        except (OSError, exc.DataError, _BrokenRunError) as error:
            warnings.append(f"{root / folder}: not taken into the results: {error}")
    return warnings


def _ingest_patiently(
    database: Database, root: Path, folder: str, known: _Known | None
) -> list[str]:
    deadline = time.monotonic() + database.timeout_s
    while True:
        try:
            return _ingest_run(database, root, folder, known)
        except exc.IntegrityError as error:
            # Another process wrote the same rows between our look and our write: look again.
            if time.monotonic() > deadline:
                raise PreflightError(
                    f"{database.where}: other processes kept writing for {database.timeout_s:g} s",
                    mend="try again; nothing is lost",
                ) from error
            known = _known_runs(database, root, schema.runs.c.folder == folder).get(folder)


def _ingest_run(database: Database, root: Path, folder: str, known: _Known | None) -> list[str]:
    log = EventLog(root / folder)
    names = set(log.names())
    held = known.events if known else frozenset()
    if known and held - names:  # what the store holds is no longer true
        forget(database, [known.run_id])
        held = frozenset()
    records, damaged = _read(log, names - held)
    warnings = [f"{error.message}: {error.mend}" for error in damaged.values()]
    ends = [end for name, error in damaged.items() if (end := _unreadable_end(name, error))]
    run_id = known.run_id if known and held else _run_id(records)
    if run_id is None:
        return [*warnings, f"{root / folder}: has events but no run"] if names else []
    if records or ends:
        with database.writing() as connection:
            _insert(connection, run_id, root, folder, records)
            for end in ends:
                _upsert_attempt(connection, run_id, end)
    return warnings


def _read(
    log: EventLog, names: Iterable[str]
) -> tuple[dict[str, AnyRecord], dict[str, IntegrityError]]:
    """The events of those names, and what is wrong with those that cannot be read."""
    records: dict[str, AnyRecord] = {}
    damaged = {}
    for name in sorted(names):
        try:
            records[name] = log.load(name)
        except IntegrityError as error:
            damaged[name] = error
    return records, damaged


def _unreadable_end(name: str, error: IntegrityError) -> AttemptEnded | None:
    """What is known of an attempt whose last event cannot be read: that it has ended.

    It is not taken for an event of the store: the file may be restored.
    """
    kind, _, rest = name.partition("-")
    number, _, what = rest.partition("-")
    if (kind, what) != ("attempt", "ended") or not number.isdecimal():
        return None
    message = f"how it ended cannot be read: {error.message}"
    return AttemptEnded(attempt=int(number), state=RunState.LOST, message=message)


def _run_id(records: dict[str, AnyRecord]) -> str | None:
    run = records.get("run")
    if not isinstance(run, RunRecord):
        return None
    try:
        load_resolved(run.job)
    except IntegrityError as error:
        raise _BrokenRunError(f"{error.message}; {error.mend}") from error
    return run.run_id


def _insert(
    connection: sa.Connection, run_id: str, root: Path, folder: str, records: dict[str, AnyRecord]
) -> None:
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
        _upsert_attempt(connection, run_id, record)
    if new:
        connection.execute(events.insert(), [{"run_id": run_id, "name": name} for name in new])


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
        raise _BrokenRunError(f"it is a copy of {Path(first.root) / first.folder}")
    place = {"storage_id": _storage_id(connection, root), "folder": folder}
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(place))


def _upsert_attempt(connection: sa.Connection, run_id: str, record: AnyRecord) -> None:
    row = attempt_row(record)
    if not row:
        return
    attempts = schema.attempts
    update = attempts.update().where(
        attempts.c.run_id == run_id, attempts.c.number == row["number"]
    )
    if connection.execute(update.values(row)).rowcount == 0:
        connection.execute(attempts.insert(), {"run_id": run_id, **row})
