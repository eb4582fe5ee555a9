"""Rows to outlines of runs: many at once, with the least that is asked of each."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from resnet_cluster.results import schema
from resnet_cluster.results.outline import (
    WEIGHTS,
    FigureOutline,
    RunOutline,
    Setup,
    training_semantics,
)
from resnet_cluster.results.records import DatasetFacts, RunState
from resnet_cluster.results.rows import damaged
from resnet_cluster.spec import SplitJob, load_split, split_resolved

_BLOCK = 2_000
"""Rows read at a time."""


def outlines(connection: sa.Connection) -> tuple[RunOutline, ...]:
    """Every run, the oldest first.

    Raises:
        IntegrityError: a row is not one that this tool wrote.
    """
    figures = _figures(connection)
    setups = _Setups()
    found = []
    for rows in connection.execute(_runs()).partitions(_BLOCK):
        for at, run_id, name, has_weights, job, *shared in rows:
            _, seed, rest = split_resolved(job)
            setup = setups[rest, *shared]
            own = tuple(figures.get(run_id, ()))
            found.append((at, RunOutline(run_id, name, seed, bool(has_weights), setup, own)))
    found.sort(key=lambda each: (each[0], each[1].run_id))
    return tuple(run for _, run in found)


class _Setups(dict[tuple[Any, ...], Setup]):
    """Setups by the columns that they are read from: there are few, and each is parsed once."""

    def __missing__(self, columns: tuple[Any, ...]) -> Setup:
        rest, dataset, versions, imported, num_parameters, flops, num_steps, steps_per_epoch = (
            columns
        )
        try:
            facts = DatasetFacts.model_validate_json(dataset)
        except ValidationError as error:
            raise damaged("a row of runs") from error
        self[columns] = Setup(
            job=load_split(SplitJob("any", 0, rest)),
            dataset=facts,
            num_parameters=num_parameters,
            flops=flops,
            num_steps=num_steps,
            steps_per_epoch=steps_per_epoch,
            training_semantics=training_semantics(json.loads(versions)),
            imported_weights=json.loads(imported)["weights_sha256"] if imported else "",
        )
        return self[columns]


def _runs() -> sa.Select[Any]:
    """JSON is taken as text, and moments as the driver gives them, which sort as they do."""
    runs, artefacts = schema.runs, schema.artefacts
    has_weights = sa.exists().where(
        artefacts.c.run_id == runs.c.run_id, artefacts.c.name == WEIGHTS
    )
    return sa.select(
        sa.type_coerce(runs.c.at, sa.types.NULLTYPE),
        runs.c.run_id,
        runs.c.name,
        has_weights & (_last_state() == RunState.SUCCEEDED.value),
        sa.cast(runs.c.job, sa.Text),
        sa.cast(runs.c.dataset, sa.Text),
        sa.cast(runs.c.versions, sa.Text),
        sa.cast(runs.c.imported, sa.Text),
        runs.c.num_parameters,
        runs.c.flops,
        runs.c.num_steps,
        runs.c.steps_per_epoch,
    )


def _last_state() -> sa.ScalarSelect[Any]:
    """How a run's last attempt has ended."""
    attempts = schema.attempts
    query = sa.select(attempts.c.state).where(attempts.c.run_id == schema.runs.c.run_id)
    return query.order_by(attempts.c.number.desc()).limit(1).scalar_subquery()


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
    for rows in connection.execute(query).partitions(_BLOCK):
        for row in rows:
            found[row[0]].append(FigureOutline._make(row[1:]))
    return found
