"""Setup: what runs of other seeds share, so that many runs are told without reading their jobs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BLOCK = 2_000


def upgrade() -> None:
    """Add the columns, and tell them of the runs that are there."""
    op.add_column("runs", sa.Column("seed", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("setup", sa.String(64), nullable=False, server_default=""))
    if not op.get_context().as_sql:
        _tell(op.get_bind())
    op.create_index("ix_runs_setup", "runs", ["setup", "at", "run_id", "name", "seed"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_runs_setup", "runs")
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("setup")
        runs.drop_column("seed")


_SHARED = ("num_parameters", "flops", "num_steps", "steps_per_epoch")
_RUNS = sa.table(
    "runs",
    sa.column("run_id", sa.String),
    *(sa.column(name, sa.JSON) for name in ("job", "dataset", "versions", "imported")),
    *(sa.column(name, sa.BigInteger) for name in (*_SHARED, "seed")),
    sa.column("setup", sa.String),
)


def _tell(connection: sa.Connection) -> None:
    update = (
        _RUNS.update()
        .where(_RUNS.c.run_id == sa.bindparam("of_run"))
        .values(seed=sa.bindparam("its_seed"), setup=sa.bindparam("its_setup"))
    )
    run_ids = list(connection.scalars(sa.select(_RUNS.c.run_id)))
    for first in range(0, len(run_ids), _BLOCK):
        block = run_ids[first : first + _BLOCK]
        rows = connection.execute(sa.select(_RUNS).where(_RUNS.c.run_id.in_(block))).mappings()
        found = [
            {"of_run": row["run_id"], "its_seed": row["job"]["seed"], "its_setup": _digest(row)}
            for row in rows
        ]
        connection.execute(update, found)


def _digest(row: Any) -> str:
    """As `results.setups.setup_digest` gave it at this revision."""
    rest = {key: value for key, value in row["job"].items() if key not in ("name", "seed")}
    parts = [
        rest,
        row["dataset"],
        row["versions"].get("training-semantics", ""),
        (row["imported"] or {}).get("weights_sha256", ""),
        *(row[name] for name in _SHARED),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
