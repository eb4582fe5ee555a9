"""Indexes for stores of many runs: the runs of a storage, and the uses of test sets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_runs_storage_id", "runs", ["storage_id", "folder", "run_id"])
    observed = sa.text("observed_test_num_images IS NOT NULL")
    op.create_index(
        "ix_epochs_observed",
        "epochs",
        ["run_id", "observed_test_num_images"],
        sqlite_where=observed,
        postgresql_where=observed,
    )
    uses = sa.text("substr(name, 1, 7) IN ('parity-', 'search-')")
    op.create_index(
        "ix_events_uses",
        "events",
        ["run_id", "name"],
        sqlite_where=uses,
        postgresql_where=uses,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_events_uses", "events")
    op.drop_index("ix_epochs_observed", "epochs")
    op.drop_index("ix_runs_storage_id", "runs")
