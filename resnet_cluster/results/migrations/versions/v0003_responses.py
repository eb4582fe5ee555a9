"""Responses: how strongly the layers of a run's network respond."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "responses",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("event_name", sa.String(255), nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("split", sa.String(64), nullable=False),
        sa.Column("num_images", sa.BigInteger, nullable=False),
        sa.Column("layers", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "event_name", name="pk_responses"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], "fk_responses_run_id"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("responses")
