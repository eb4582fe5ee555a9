"""Ensembles: figures of several runs together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "ensembles",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("event_name", sa.String(255), nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("members", sa.JSON, nullable=False),
        sa.Column("protocol", sa.String(64), nullable=False),
        sa.Column("average", sa.String(16), nullable=False),
        sa.Column("split", sa.String(64), nullable=False),
        sa.Column("select", sa.String(64), nullable=False),
        sa.Column("num_moved", sa.BigInteger, nullable=False),
        sa.Column("errors_loss", sa.Double),
        sa.Column("errors_top1_err", sa.Double, nullable=False),
        sa.Column("errors_top5_err", sa.Double),
        sa.Column("errors_num_images", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "event_name", name="pk_ensembles"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], "fk_ensembles_run_id"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("ensembles")
