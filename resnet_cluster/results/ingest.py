"""Takes the runs' new events into the store; may be repeated, and done by two processes at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from resnet_cluster.errors import IntegrityError
from resnet_cluster.results import schema
from resnet_cluster.results.database import Database
from resnet_cluster.results.events import EventLog
from resnet_cluster.results.records import (
    AnyRecord,
    AttemptEnded,
    RunRecord,
    RunState,
)
from resnet_cluster.results.sweeps import PREFIX as SWEEP_PREFIX
from resnet_cluster.results.writing import BrokenRunError, forget, insert, upsert_attempt
from resnet_cluster.spec import load_resolved

_BETWEEN = "/"
"""Between names of events, which are names of files and have none."""


@dataclass(frozen=True)
class _Known:
    """What the store holds of a run."""

    run_id: str
    text: str
    """Names of its events."""

    @property
    def events(self) -> frozenset[str]:
        """Names of its events."""
        return frozenset(self.text.split(_BETWEEN)) if self.text else frozenset()


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


def _roots(database: Database) -> list[Path]:
    """The storages that have runs."""
    runs, storages = schema.runs, schema.storages
    query = sa.select(storages.c.root).where(
        sa.exists().where(runs.c.storage_id == storages.c.storage_id)
    )
    with database.reading() as connection:
        return [Path(root) for root in connection.scalars(query)]


def _known_runs(database: Database, root: Path, folder: str | None = None) -> dict[str, _Known]:
    """What the store holds of a storage's runs, or of one folder's, by folder."""
    runs, storages, events = schema.runs, schema.storages, schema.events
    chosen = sa.select(runs.c.run_id, runs.c.folder).join(storages)
    chosen = chosen.where(storages.c.root == str(root))
    if folder is not None:
        chosen = chosen.where(runs.c.folder == folder)
    # One text for each run: of many runs the names are millions, and most are never asked for.
    together = sa.func.aggregate_strings(events.c.name, _BETWEEN).label("names")
    query = sa.select(events.c.run_id, together).group_by(events.c.run_id)
    query = query.where(events.c.run_id.in_(chosen.with_only_columns(runs.c.run_id)))
    with database.reading() as connection:
        names = {row.run_id: str(row.names) for row in connection.execute(query)}
        found = connection.execute(chosen).all()
    return {name: _Known(run_id, names.get(run_id, "")) for run_id, name in found}


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
        except (OSError, exc.DataError, BrokenRunError) as error:
            warnings.append(f"{root / folder}: not taken into the results: {error}")
    return warnings


def _ingest_patiently(
    database: Database, root: Path, folder: str, known: _Known | None
) -> list[str]:
    first = [known]

    def ingest_run() -> list[str]:
        # Where another process wrote the same rows between our look and our write, look again.
        held = first.pop() if first else _known_runs(database, root, folder).get(folder)
        return _ingest_run(database, root, folder, held)

    return database.patiently(ingest_run)


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
            insert(connection, run_id, root, folder, records)
            for end in ends:
                upsert_attempt(connection, run_id, end)
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
        raise BrokenRunError(f"{error.message}; {error.mend}") from error
    return run.run_id
