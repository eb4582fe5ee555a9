"""Rows to frozen values."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from resnet_cluster.results import schema
from resnet_cluster.results.analyses import EnsembleRecord, NormsRecord, ResponsesRecord
from resnet_cluster.results.records import (
    ArtefactRecord,
    EpochRecord,
    EvaluationRecord,
    RunRecord,
)
from resnet_cluster.results.rows import Row, attempt_of, record_of
from resnet_cluster.results.summary import RunSummary
from resnet_cluster.spec import load_split, split_resolved

Value = TypeVar("Value")

_JSON = (schema.runs.c.job, schema.runs.c.dataset, schema.runs.c.versions)


def summaries(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> tuple[RunSummary, ...]:
    """The runs that meet every condition on `schema.runs`, the oldest first.

    Raises:
        IntegrityError: a row is not one that this tool wrote.
    """
    runs, storages = schema.runs, schema.storages
    as_text = {column: sa.cast(column, sa.Text).label(column.name) for column in _JSON}
    columns = [as_text.get(column, column) for column in runs.columns]
    query = sa.select(*columns, storages.c.root).join(storages).where(*where)
    rows = _rows(connection, query.order_by(runs.c.at, runs.c.run_id))
    chosen = sa.select(runs.c.run_id).where(*where)
    attempts = _by_run(connection, schema.attempts, chosen, attempt_of)
    evaluations = _by_run(connection, schema.evaluations, chosen, _evaluation)
    artefacts = _by_run(connection, schema.artefacts, chosen, _artefact)
    last = _last_epochs(connection, chosen)
    bad = _bad_samples(connection, chosen)
    return tuple(
        RunSummary(
            record=_run(row),
            job=load_split(split_resolved(row["job"])),
            run_dir=Path(row["root"]) / row["folder"],
            attempts=tuple(attempts[row["run_id"]]),
            last_epoch=last.get(row["run_id"]),
            evaluations=tuple(evaluations[row["run_id"]]),
            artefacts=tuple(artefacts[row["run_id"]]),
            num_bad_samples=bad.get(row["run_id"], 0),
        )
        for row in rows
    )


def epochs(connection: sa.Connection, run_id: str) -> tuple[EpochRecord, ...]:
    """The finished epochs of a run, in order."""
    table = schema.epochs
    query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.epoch)
    return tuple(record_of(EpochRecord, row) for row in _rows(connection, query))


def evaluations(connection: sa.Connection, run_id: str) -> tuple[EvaluationRecord, ...]:
    """The figures of a run."""
    only = sa.select(sa.literal(run_id))
    return tuple(_by_run(connection, schema.evaluations, only, _evaluation)[run_id])


def ensembles(connection: sa.Connection) -> tuple[EnsembleRecord, ...]:
    """The ensembles of runs that are all there, the oldest first."""
    table = schema.ensembles
    query = sa.select(table).order_by(table.c.at, table.c.event_name)
    found = [record_of(EnsembleRecord, row) for row in _rows(connection, query)]
    if not found:
        return ()
    known = set(connection.scalars(sa.select(schema.runs.c.run_id)))
    return tuple(record for record in found if known.issuperset(record.members))


def responses(connection: sa.Connection, run_id: str) -> tuple[ResponsesRecord, ...]:
    """The analyses of a run's layers, that of most images last."""
    table = schema.responses
    query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.num_images)
    return tuple(record_of(ResponsesRecord, row) for row in _rows(connection, query))


def norms(connection: sa.Connection, run_id: str) -> tuple[NormsRecord, ...]:
    """How large the signals of a run's layers were, epoch by epoch."""
    table = schema.norms
    query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.epoch)
    return tuple(record_of(NormsRecord, row) for row in _rows(connection, query))


def _counts(
    connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]
) -> dict[str, int]:
    """Rows of each run that has any."""
    query = (
        sa.select(table.c.run_id, sa.func.count().label("num"))
        .where(where)
        .group_by(table.c.run_id)
    )
    return {row.run_id: row.num for row in connection.execute(query)}


def _by_run(
    connection: sa.Connection,
    table: sa.Table,
    run_ids: sa.Select[Any],
    build: Callable[[Row], Value],
) -> dict[str, list[Value]]:
    query = sa.select(table).where(table.c.run_id.in_(run_ids)).order_by(*table.primary_key)
    found: dict[str, list[Value]] = defaultdict(list)
    for row in _rows(connection, query):
        found[row["run_id"]].append(build(row))
    return found


def _last_epochs(connection: sa.Connection, run_ids: sa.Select[Any]) -> dict[str, EpochRecord]:
    table = schema.epochs
    last = (
        sa.select(table.c.run_id, sa.func.max(table.c.epoch).label("epoch"))
        .where(table.c.run_id.in_(run_ids))
        .group_by(table.c.run_id)
        .subquery()
    )
    query = sa.select(table).join(
        last, sa.and_(table.c.run_id == last.c.run_id, table.c.epoch == last.c.epoch)
    )
    return {row["run_id"]: record_of(EpochRecord, row) for row in _rows(connection, query)}


def _bad_samples(connection: sa.Connection, run_ids: sa.Select[Any]) -> dict[str, int]:
    """Damaged images of each run that has any, by the names of their events."""
    events = schema.events
    return _counts(connection, events, events.c.run_id.in_(run_ids) & events.c.name.like("bad-%"))


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[Row]:
    return [row._asdict() for row in connection.execute(query)]


def _run(row: Row) -> RunRecord:
    """The record of a row with JSON as text."""
    job = split_resolved(row["job"])
    parts = {"job": {"name": job.name, "seed": job.seed} | _parsed(job.rest)}
    parts |= {name: _parsed(row[name]) for name in ("dataset", "versions")}
    return record_of(RunRecord, {**row, **parts})


# Of thousands of runs most texts are the same: the values are shared, and nobody changes them.
_parsed = functools.lru_cache(maxsize=256)(json.loads)


def _evaluation(row: Row) -> EvaluationRecord:
    return record_of(EvaluationRecord, row)


def _artefact(row: Row) -> ArtefactRecord:
    return record_of(ArtefactRecord, row)
