"""Setups in the store: a digest in each run's row, and one row of each that is read and parsed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic import ValidationError

from resnet_cluster.results import schema
from resnet_cluster.results.outline import Setup, training_semantics
from resnet_cluster.results.records import DatasetFacts, RunRecord
from resnet_cluster.results.rows import damaged
from resnet_cluster.spec import load_resolved

_OWN_KEYS = ("name", "seed")
"""Of a job: what a run has to itself."""


def setup_columns(record: RunRecord) -> dict[str, Any]:
    """Columns of a run's row that its record does not have by themselves: seed and setup."""
    return {"seed": record.job["seed"], "setup": setup_digest(record)}


def setup_digest(record: RunRecord) -> str:
    """SHA-256 of all that a `Setup` is made of; another digest wants a migration of the store."""
    parts = [
        {key: value for key, value in record.job.items() if key not in _OWN_KEYS},
        record.dataset.model_dump(mode="json"),
        training_semantics(record.versions),
        record.imported.weights_sha256 if record.imported else "",
        record.num_parameters,
        record.flops,
        record.num_steps,
        record.steps_per_epoch,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def setups(connection: sa.Connection) -> dict[str, Setup]:
    """Every setup by its digest, from one run of each.

    Raises:
        IntegrityError: a row is not one that this tool wrote.
    """
    runs = schema.runs
    columns = (
        runs.c.setup,
        runs.c.job,
        runs.c.dataset,
        runs.c.versions,
        runs.c.imported,
        runs.c.num_parameters,
        runs.c.flops,
        runs.c.num_steps,
        runs.c.steps_per_epoch,
    )
    one_of_each = sa.select(sa.func.min(runs.c.run_id)).group_by(runs.c.setup)
    rows = connection.execute(sa.select(*columns).where(runs.c.run_id.in_(one_of_each)))
    return {row.setup: _setup(row) for row in rows}


class SetupDataset(NamedTuple):
    """The data set of a setup's runs, and how many these are."""

    setup: str
    sha256: str
    name: str
    num_runs: int


def datasets(connection: sa.Connection) -> tuple[SetupDataset, ...]:
    """That of each setup; the setup of the newest run is last."""
    runs = schema.runs
    one_of_each = (
        sa.select(
            sa.func.min(runs.c.run_id).label("run_id"),
            sa.func.count().label("num_runs"),
            sa.func.max(runs.c.at).label("newest"),
        )
        .group_by(runs.c.setup)
        .subquery()
    )
    query = sa.select(runs.c.setup, runs.c.dataset, one_of_each.c.num_runs).join_from(
        one_of_each, runs, runs.c.run_id == one_of_each.c.run_id
    )
    rows = connection.execute(query.order_by(one_of_each.c.newest, runs.c.setup))
    return tuple(
        SetupDataset(row.setup, row.dataset["sha256"], row.dataset["name"], row.num_runs)
        for row in rows
    )


def _setup(row: Any) -> Setup:
    try:
        dataset = DatasetFacts.model_validate(row.dataset, strict=False)
    except ValidationError as error:
        raise damaged("a row of runs") from error
    return Setup(
        job=load_resolved(row.job | {"name": "any", "seed": 0}),
        dataset=dataset,
        num_parameters=row.num_parameters,
        flops=row.flops,
        num_steps=row.num_steps,
        steps_per_epoch=row.steps_per_epoch,
        training_semantics=training_semantics(row.versions),
        imported_weights=row.imported["weights_sha256"] if row.imported else "",
    )
