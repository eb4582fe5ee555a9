"""The first schema. It repeats `schema.py` as that was: a migration never changes afterwards."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make all tables."""
    _create_runs()
    _create_attempts()
    _create_epochs()
    _create_evaluations_and_artefacts()
    op.create_table(
        "events", *_keys(sa.Column("name", sa.String(255), nullable=False), of="events")
    )


def downgrade() -> None:
    """Drop all tables."""
    for table in ("events", "artefacts", "evaluations", "epochs", "attempts", "runs", "storages"):
        op.drop_table(table)


def _create_runs() -> None:
    op.create_table(
        "storages",
        sa.Column("storage_id", sa.Integer, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("storage_id", name="pk_storages"),
        sa.UniqueConstraint("root", name="uq_storages_root"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("storage_id", sa.Integer, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        *_common(),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("job", sa.JSON, nullable=False),
        sa.Column("dataset", sa.JSON, nullable=False),
        sa.Column("num_parameters", sa.BigInteger, nullable=False),
        sa.Column("flops", sa.BigInteger, nullable=False),
        sa.Column("num_steps", sa.BigInteger, nullable=False),
        sa.Column("steps_per_epoch", sa.BigInteger, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("git_commit", sa.Text),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.ForeignKeyConstraint(["storage_id"], ["storages.storage_id"], "fk_runs_storage_id"),
    )
    op.create_index("ix_runs_name", "runs", ["name"])
    op.create_index("ix_runs_key", "runs", ["key"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        *_keys(sa.Column("number", sa.Integer, nullable=False), of="attempts"),
        sa.Column("owner", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("started_at", _MOMENT),
        sa.Column("world_size", sa.Integer),
        sa.Column("device", sa.Text),
        sa.Column("first_step", sa.BigInteger),
        sa.Column("training_at", _MOMENT),
        sa.Column("state", sa.String(16)),
        sa.Column("message", sa.Text, nullable=False, server_default=""),
        sa.Column("ended_at", _MOMENT),
    )


def _create_epochs() -> None:
    op.create_table(
        "epochs",
        *_keys(sa.Column("epoch", sa.Integer, nullable=False), of="epochs"),
        *_common(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("lr", sa.Double, nullable=False),
        *_errors("train"),
        *_errors("holdout", nullable=True),
        *_errors("observed_test", nullable=True),
        sa.Column("train_seconds", sa.Double, nullable=False),
        sa.Column("images_per_second", sa.Double, nullable=False),
    )


def _create_evaluations_and_artefacts() -> None:
    op.create_table(
        "evaluations",
        *_keys(
            sa.Column("protocol", sa.String(64), nullable=False),
            sa.Column("split", sa.String(64), nullable=False),
            sa.Column("select", sa.String(64), nullable=False),
            of="evaluations",
        ),
        *_common(),
        sa.Column("ema", sa.Boolean, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        *_errors("errors"),
    )
    op.create_table(
        "artefacts",
        *_keys(sa.Column("name", sa.String(255), nullable=False), of="artefacts"),
        *_common(),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("num_bytes", sa.BigInteger, nullable=False),
    )


def _keys(*columns: sa.Column[Any], of: str) -> list[Any]:
    names = ["run_id", *(column.name for column in columns)]
    return [
        sa.Column("run_id", sa.String(64), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint(*names, name=f"pk_{of}"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], f"fk_{of}_run_id"),
    ]


def _common() -> list[sa.Column[Any]]:
    return [
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
    ]


def _errors(name: str, *, nullable: bool = False) -> list[sa.Column[Any]]:
    return [
        sa.Column(f"{name}_loss", sa.Double),
        sa.Column(f"{name}_top1_err", sa.Double, nullable=nullable),
        sa.Column(f"{name}_top5_err", sa.Double),
        sa.Column(f"{name}_num_images", sa.BigInteger, nullable=nullable),
    ]
