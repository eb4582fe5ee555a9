"""How often test sets have been used: sums over all runs, made by the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa

from resnet_cluster.results import schema
from resnet_cluster.results.setups import datasets
from resnet_cluster.results.summary import UsesOfTestSet


def uses_of_test_sets(connection: sa.Connection) -> tuple[UsesOfTestSet, ...]:
    """How often each data set's test images have been used, by its name."""
    evaluations, epochs = schema.evaluations, schema.epochs
    ensembles, events = schema.ensembles, schema.events
    names: dict[str, str] = {}
    num_runs: Counter[str] = Counter()
    by_setup: dict[str, str] = {}
    for found in datasets(connection):  # that of the newest run last
        names[found.sha256] = found.name
        num_runs[found.sha256] += found.num_runs
        by_setup[found.setup] = found.sha256
    figures = _counts(connection, evaluations, evaluations.c.split == "test", by_setup)
    observed = epochs.c.observed_test_num_images.is_not(None)
    num_observed = _counts(connection, epochs, observed, by_setup)
    together = _counts(connection, ensembles, ensembles.c.split == "test", by_setup)
    compared = _counts(connection, events, events.c.name.like("parity-%"), by_setup)
    searched = _counts(connection, events, events.c.name.like("search-%"), by_setup)
    return tuple(
        UsesOfTestSet(
            name=name,
            dataset_sha256=sha256,
            num_runs=num_runs[sha256],
            num_figures=figures[sha256],
            num_observed=num_observed[sha256],
            num_ensembles=together[sha256],
            num_comparisons=compared[sha256],
            num_searches=searched[sha256],
        )
        for sha256, name in sorted(names.items(), key=lambda item: (item[1], item[0]))
    )


def _counts(
    connection: sa.Connection,
    table: sa.Table,
    where: sa.ColumnElement[bool],
    sha256_of: Mapping[str, str],
) -> Counter[str]:
    """Rows by the data set of their run.

    Args:
        connection: of the store.
        table: with a column `run_id`.
        where: what rows count.
        sha256_of: each setup's data set.
    """
    if len(shas := set(sha256_of.values())) == 1:  # the rule, and many times as quick to count
        number = connection.scalar(sa.select(sa.func.count()).select_from(table).where(where))
        return Counter({shas.pop(): number or 0})
    by_run = sa.select(table.c.run_id, sa.func.count().label("number")).where(where)
    by_run_id = by_run.group_by(table.c.run_id).subquery()
    runs = schema.runs
    query = sa.select(runs.c.setup, sa.func.sum(by_run_id.c.number)).select_from(runs)
    query = query.join(by_run_id, by_run_id.c.run_id == runs.c.run_id).group_by(runs.c.setup)
    found: Counter[str] = Counter()
    for setup, number in connection.execute(query):
        found[sha256_of[setup]] += int(number)
    return found
