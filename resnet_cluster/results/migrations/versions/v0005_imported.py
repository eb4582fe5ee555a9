"""Imported: where the weights of a run come from that this tool has not trained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; runs that were there before have trained their weights."""
    op.add_column("runs", sa.Column("imported", sa.JSON))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("runs", "imported")
