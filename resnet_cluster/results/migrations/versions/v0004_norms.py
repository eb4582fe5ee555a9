"""Norms: how large the signals of a run's layers were while it trained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; events that had none until now are read again."""
    op.create_table(
        "norms",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("layers", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "epoch", name="pk_norms"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], "fk_norms_run_id"),
    )
    op.execute("DELETE FROM events WHERE name LIKE 'norms-%'")


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("norms")
