"""Rows to outlines of runs: many at once, with the least that is asked of each."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from resnet_cluster.results import schema
from resnet_cluster.results.outline import WEIGHTS, FigureOutline, RunOutline
from resnet_cluster.results.records import RunState
from resnet_cluster.results.setups import setups
from resnet_cluster.results.summary import state_of


def outlines(connection: sa.Connection) -> tuple[RunOutline, ...]:
    """Every run, the oldest first.

    Raises:
        IntegrityError: a row is not one that this tool wrote.
    """
    by_digest, states, figures = setups(connection), _states(connection), _figures(connection)
    epochs_done = _epochs_done(connection)
    artefacts = schema.artefacts
    without_weights = _runs_without(connection, artefacts, artefacts.c.name == WEIGHTS)
    found = []
    for at, run_id, name, seed, digest in connection.execute(_runs()).all():
        state = states.get(run_id, RunState.SUCCEEDED)
        run = RunOutline(
            run_id,
            name,
            seed,
            state,
            epochs_done.get(run_id),
            state is RunState.SUCCEEDED and run_id not in without_weights,
            by_digest[digest],
            tuple(figures.get(run_id, ())),
        )
        found.append((at, run))
    found.sort(key=lambda each: (each[0], each[1].run_id))
    return tuple(run for _, run in found)


def _runs() -> sa.Select[Any]:
    """Moments are taken as the driver gives them, which sort as they do."""
    runs = schema.runs
    return sa.select(
        sa.type_coerce(runs.c.at, sa.types.NULLTYPE),
        runs.c.run_id,
        runs.c.name,
        runs.c.seed,
        runs.c.setup,
    )


def _epochs_done(connection: sa.Connection) -> dict[str, int]:
    """Of each run without a figure that has finished one."""
    runs, epochs, evaluations = schema.runs, schema.epochs, schema.evaluations
    measured = sa.select(evaluations.c.run_id).where(evaluations.c.run_id == runs.c.run_id)
    last = sa.select(sa.func.max(epochs.c.epoch)).where(epochs.c.run_id == runs.c.run_id)
    query = sa.select(runs.c.run_id, last.scalar_subquery()).where(~measured.exists())
    return {run_id: epoch or 0 for run_id, epoch in connection.execute(query)}


def _states(connection: sa.Connection) -> dict[str, RunState]:
    """Of each run that has not succeeded: most have, and of others the last attempt tells."""
    table = schema.attempts
    is_end = table.c.state == RunState.SUCCEEDED.value
    others = sa.select(
        table.c.run_id, table.c.number, table.c.state, table.c.training_at.is_not(None)
    ).where(sa.or_(~is_end, table.c.state.is_(None)))
    found = {
        run_id: state_of(number, RunState(end) if end else None, is_training=bool(is_training))
        for run_id, number, end, is_training in connection.execute(
            others.order_by(table.c.run_id, table.c.number)
        )
    }
    unended = _runs_without(connection, table, is_end)
    return {run_id: found.get(run_id, RunState.PENDING) for run_id in unended}


def _runs_without(
    connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]
) -> set[str]:
    """The runs of which a table has no row that meets a condition: the few are quick to tell."""
    runs = schema.runs
    some = sa.exists().where(table.c.run_id == runs.c.run_id, where)
    return set(connection.scalars(sa.select(runs.c.run_id).where(~some)))


def _figures(connection: sa.Connection) -> dict[str, list[FigureOutline]]:
    """Those of each run that has any, in the order in which a run's are always told."""
    table = schema.evaluations
    query = sa.select(
        table.c.run_id,
        table.c.protocol,
        table.c.split,
        table.c.select,
        table.c.ema,
        table.c.step,
        table.c.errors_top1_err,
        table.c.errors_top5_err,
    ).order_by(*table.primary_key)
    found: dict[str, list[FigureOutline]] = defaultdict(list)
    for row in connection.execute(query).all():
        found[row[0]].append(FigureOutline._make(row[1:]))
    return found
