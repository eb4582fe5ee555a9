"""How often test sets have been used: sums over all runs, made by the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from resnet_cluster.results import schema
from resnet_cluster.results.setups import datasets
from resnet_cluster.results.summary import UsesOfTestSet


def uses_of_test_sets(connection: sa.Connection) -> tuple[UsesOfTestSet, ...]:
    """How often each data set's test images have been used, by its name."""
    evaluations, ensembles, events = schema.evaluations, schema.ensembles, schema.events
    names: dict[str, str] = {}
    num_runs: Counter[str] = Counter()
    by_setup: dict[str, str] = {}
    for found in datasets(connection):  # that of the newest run last
        names[found.sha256] = found.name
        num_runs[found.sha256] += found.num_runs
        by_setup[found.setup] = found.sha256
    figures = _counts(connection, evaluations, evaluations.c.split == "test", by_setup)
    num_observed = _counts(connection, schema.epochs, schema.IS_OBSERVED, by_setup)
    together = _counts(connection, ensembles, ensembles.c.split == "test", by_setup)
    compared = _counts(connection, events, _is_a("parity-"), by_setup)
    searched = _counts(connection, events, _is_a("search-"), by_setup)
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
    found: Counter[str] = Counter()
    shas = Counter(sha256_of.values())
    most = max(shas, key=lambda sha256: shas[sha256], default="")
    number = connection.scalar(sa.select(sa.func.count()).select_from(table).where(where)) or 0
    if number and (others := [one for one, sha256 in sha256_of.items() if sha256 != most]):
        for row in connection.execute(_by_setup(table, where, others)):
            found[sha256_of[row.setup]] += row.number
    found[most] = number - found.total()  # many times as quick as to ask for them run by run
    return found


def _by_setup(table: sa.Table, where: sa.ColumnElement[bool], setups: list[str]) -> sa.Select[Any]:
    runs = schema.runs
    query = sa.select(runs.c.setup, sa.func.count().label("number")).join_from(table, runs)
    return query.where(where, runs.c.setup.in_(setups)).group_by(runs.c.setup)


def _is_a(kind: str) -> sa.ColumnElement[bool]:
    """Whether an event's name begins so, by an index of the few that are uses."""
    return schema.IS_USE & schema.events.c.name.startswith(kind)
