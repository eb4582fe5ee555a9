"""Which run a user means by an id, the beginning of one, or a name."""

from __future__ import annotations

import difflib
from typing import Any

import sqlalchemy as sa

from resnet_cluster.errors import UnknownRunError, UsageError
from resnet_cluster.results import schema

_NEAR = 1_000
"""Newest runs among which one that is spelt alike is looked for, which is slow."""


def resolved(connection: sa.Connection, reference: str) -> str:
    """Id of the run of that id, of the newest of that name, or of the one whose id begins so.

    Raises:
        UnknownRunError: there is none.
        UsageError: several ids begin so.
    """
    # What cannot be printed is in no id and no name, and a database may not take it.
    if not reference or not reference.isprintable():
        raise _unknown(connection, reference)
    runs = schema.runs
    for condition in (runs.c.run_id == reference, runs.c.name == reference):
        if (run_id := connection.scalar(_newest(condition, 1))) is not None:
            return str(run_id)
    begins = sa.func.substr(runs.c.run_id, 1, len(reference)) == reference
    begun = list(connection.scalars(_newest(begins)))[::-1]
    if not begun:
        raise _unknown(connection, reference)
    if len(begun) > 1:
        raise UsageError(
            f"{len(begun)} runs have an id that begins with {reference!r}",
            mend="give more of it: " + ", ".join(begun[:8]) + (", ..." if begun[8:] else ""),
        )
    return str(begun[0])


def _newest(where: sa.ColumnElement[bool], number: int | None = None) -> sa.Select[Any]:
    """Id and name of so many runs that meet a condition, the newest first."""
    runs = schema.runs
    query = sa.select(runs.c.run_id, runs.c.name).where(where)
    return query.order_by(runs.c.at.desc(), runs.c.run_id.desc()).limit(number)


def _unknown(connection: sa.Connection, reference: str) -> UnknownRunError:
    newest = connection.execute(_newest(sa.true(), _NEAR)).all()
    near = difflib.get_close_matches(reference, [part for run in newest for part in run], n=1)
    return UnknownRunError(
        f"no run has the id or name {reference!r}",
        mend=f"did you mean {near[0]}?" if near else "`resnet-cluster list` shows the runs",
    )
