"""Tables of the store. They change by a migration only: see `migrations/`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from resnet_cluster.results.base import Errors

HEAD = "0007"
"""Newest revision of the schema."""

VERSION_TABLE = "resnet_cluster_version"


class Timestamp(sa.types.TypeDecorator[datetime]):
    """A moment, kept as UTC: SQLite forgets time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _of_run() -> sa.Column[str]:
    return sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.run_id"), primary_key=True)


def _common() -> list[sa.Column[Any]]:
    return [
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
    ]


def _only(index: sa.Index, where: sa.ColumnElement[bool]) -> None:
    """Let an index have the rows that meet a condition, and no others."""
    for options in (index.dialect_options["sqlite"], index.dialect_options["postgresql"]):
        options["where"] = where


def _errors(name: str, *, nullable: bool = False) -> list[sa.Column[Any]]:
    types: dict[str, sa.types.TypeEngine[Any]] = {
        "loss": sa.Double(),
        "top1_err": sa.Double(),
        "top5_err": sa.Double(),
        "num_images": sa.BigInteger(),
    }
    assert types.keys() == Errors.model_fields.keys()
    # SQLite keeps a loss that is not a number as NULL.
    may_be_null = ("loss", "top5_err")
    return [
        sa.Column(f"{name}_{field}", kind, nullable=nullable or field in may_be_null)
        for field, kind in types.items()
    ]


storages = sa.Table(
    "storages",
    metadata,
    sa.Column("storage_id", sa.Integer, primary_key=True),
    sa.Column("root", sa.Text, nullable=False, unique=True),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("storage_id", sa.ForeignKey("storages.storage_id"), nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    *_common(),
    sa.Column("name", sa.String(64), nullable=False, index=True),
    sa.Column("key", sa.String(128), nullable=False, index=True),
    sa.Column("job", sa.JSON, nullable=False),
    sa.Column("dataset", sa.JSON, nullable=False),
    sa.Column("num_parameters", sa.BigInteger, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("num_steps", sa.BigInteger, nullable=False),
    sa.Column("steps_per_epoch", sa.BigInteger, nullable=False),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("git_commit", sa.Text),
    sa.Column("versions", sa.JSON, nullable=False),
    sa.Column("imported", sa.JSON(none_as_null=True)),
    sa.Column("seed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("setup", sa.String(64), nullable=False, server_default=""),
)
"""The last two are taken from the others, for questions about many runs (see `setups.py`)."""

sa.Index("ix_runs_storage_id", runs.c.storage_id, runs.c.folder, runs.c.run_id)
sa.Index("ix_runs_setup", runs.c.setup, runs.c.at, runs.c.run_id, runs.c.name, runs.c.seed)

attempts = sa.Table(
    "attempts",
    metadata,
    _of_run(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("started_at", Timestamp),
    sa.Column("world_size", sa.Integer),
    sa.Column("device", sa.Text),
    sa.Column("first_step", sa.BigInteger),
    sa.Column("training_at", Timestamp),
    sa.Column("state", sa.String(16)),
    sa.Column("message", sa.Text, nullable=False, server_default=""),
    sa.Column("ended_at", Timestamp),
)

epochs = sa.Table(
    "epochs",
    metadata,
    _of_run(),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
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

IS_OBSERVED = epochs.c.observed_test_num_images.is_not(None)
"""Whether an epoch's errors on the test images were seen."""

_only(
    sa.Index("ix_epochs_observed", epochs.c.run_id, epochs.c.observed_test_num_images), IS_OBSERVED
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    _of_run(),
    sa.Column("protocol", sa.String(64), primary_key=True),
    sa.Column("split", sa.String(64), primary_key=True),
    sa.Column("select", sa.String(64), primary_key=True),
    *_common(),
    sa.Column("ema", sa.Boolean, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    *_errors("errors"),
)

ensembles = sa.Table(
    "ensembles",
    metadata,
    _of_run(),
    sa.Column("event_name", sa.String(255), primary_key=True),
    *_common(),
    sa.Column("members", sa.JSON, nullable=False),
    sa.Column("protocol", sa.String(64), nullable=False),
    sa.Column("average", sa.String(16), nullable=False),
    sa.Column("split", sa.String(64), nullable=False),
    sa.Column("select", sa.String(64), nullable=False),
    sa.Column("num_moved", sa.BigInteger, nullable=False),
    *_errors("errors"),
)
"""Each of several runs; it is the first one's."""

responses = sa.Table(
    "responses",
    metadata,
    _of_run(),
    sa.Column("event_name", sa.String(255), primary_key=True),
    *_common(),
    sa.Column("split", sa.String(64), nullable=False),
    sa.Column("num_images", sa.BigInteger, nullable=False),
    sa.Column("layers", sa.JSON, nullable=False),
)

norms = sa.Table(
    "norms",
    metadata,
    _of_run(),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    *_common(),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("layers", sa.JSON, nullable=False),
)

artefacts = sa.Table(
    "artefacts",
    metadata,
    _of_run(),
    sa.Column("name", sa.String(255), primary_key=True),
    *_common(),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    _of_run(),
    sa.Column("name", sa.String(255), primary_key=True),
)
"""Names of the events that the other tables hold."""

IS_USE = sa.func.substr(events.c.name, sa.literal_column("1"), sa.literal_column("7")).in_(
    [sa.literal_column(f"'{kind}'") for kind in ("parity-", "search-")]
)
"""Whether an event that has no table of its own used the test images.

Its values stand in the text: SQLite takes an index of some rows for the same condition alone.
"""

_only(sa.Index("ix_events_uses", events.c.run_id, events.c.name), IS_USE)
