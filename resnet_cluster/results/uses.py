"""How often test sets have been used: sums over all runs, made by the database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa

from resnet_cluster.results import schema
from resnet_cluster.results.summary import UsesOfTestSet

_DATASET = sa.cast(schema.runs.c.dataset, sa.Text)
"""A run's data set as it is stored, which is the same for thousands: it is parsed once."""


def uses_of_test_sets(connection: sa.Connection) -> tuple[UsesOfTestSet, ...]:
    """How often each data set's test images have been used, by its name."""
    evaluations, epochs = schema.evaluations, schema.epochs
    ensembles, events = schema.ensembles, schema.events
    names: dict[str, str] = {}
    num_runs: Counter[str] = Counter()
    datasets: dict[str, str] = {}
    for dataset, number in connection.execute(_datasets()):
        facts = json.loads(dataset)
        names[facts["sha256"]] = facts["name"]
        num_runs[facts["sha256"]] += number
        datasets[dataset] = facts["sha256"]
    figures = _counts(connection, evaluations, evaluations.c.split == "test", datasets)
    observed = epochs.c.observed_test_num_images.is_not(None)
    num_observed = _counts(connection, epochs, observed, datasets)
    together = _counts(connection, ensembles, ensembles.c.split == "test", datasets)
    compared = _counts(connection, events, events.c.name.like("parity-%"), datasets)
    return tuple(
        UsesOfTestSet(
            name=name,
            dataset_sha256=sha256,
            num_runs=num_runs[sha256],
            num_figures=figures[sha256],
            num_observed=num_observed[sha256],
            num_ensembles=together[sha256],
            num_comparisons=compared[sha256],
        )
        for sha256, name in sorted(names.items(), key=lambda item: (item[1], item[0]))
    )


def _datasets() -> sa.Select[str, int]:
    """Data sets and their numbers of runs, that of the newest run last."""
    query = sa.select(_DATASET, sa.func.count()).select_from(schema.runs).group_by(_DATASET)
    return query.order_by(sa.func.max(schema.runs.c.at), _DATASET)


def _counts(
    connection: sa.Connection,
    table: sa.Table,
    where: sa.ColumnElement[bool],
    datasets: Mapping[str, str],
) -> Counter[str]:
    """Rows by the data set of their run.

    Args:
        connection: of the store.
        table: with a column `run_id`.
        where: what rows count.
        datasets: SHA-256 of each data set as it is stored.
    """
    if len(shas := set(datasets.values())) == 1:  # the rule, and many times as quick to count
        number = connection.scalar(sa.select(sa.func.count()).select_from(table).where(where))
        return Counter({shas.pop(): number or 0})
    by_run = sa.select(table.c.run_id, sa.func.count().label("number")).where(where)
    by_run_id = by_run.group_by(table.c.run_id).subquery()
    query = sa.select(_DATASET, sa.func.sum(by_run_id.c.number)).select_from(schema.runs)
    query = query.join(by_run_id, by_run_id.c.run_id == schema.runs.c.run_id).group_by(_DATASET)
    found: Counter[str] = Counter()
    for dataset, number in connection.execute(query):
        found[datasets[dataset]] += int(number)
    return found
