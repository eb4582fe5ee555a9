"""Brings a store to the newest schema, whoever opens it first."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from resnet_cluster.errors import IntegrityError
from resnet_cluster.results import schema
from resnet_cluster.results.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
_POSTGRESQL_LOCK = 0x7265736E
"""Any number that other users of the same server are unlikely to lock."""


def bring_up_to_date(database: Database) -> None:
    """Run the migrations that the store lacks.

    Raises:
        IntegrityError: the store is another tool's, or was made by a later version of this one.
        PreflightError: see `Database.writing`.
    """
    with database.reading() as connection:
        if _version(connection) == schema.HEAD:
            return
    database.patiently(lambda: _bring_up_to_date(database))


def _bring_up_to_date(database: Database) -> None:
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))
        # Another process may have done it since.
        version = _version(connection)
        if version is None:
            _refuse_foreign(connection, database)
        if version != schema.HEAD:
            _upgrade(connection, database)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(schema.VERSION_TABLE):
        return None
    table = sa.table(schema.VERSION_TABLE, sa.column("version_num"))
    version = connection.scalar(sa.select(table.c.version_num))
    return None if version is None else str(version)


def _refuse_foreign(connection: sa.Connection, database: Database) -> None:
    found = set(sa.inspect(connection).get_table_names())
    # A server's database may be shared with others' tables; a file may not.
    clash = found if database.is_sqlite else found & schema.metadata.tables.keys()
    if clash:
        raise IntegrityError(
            f"{database.where}: holds another tool's tables ({', '.join(sorted(clash)[:3])}, ...)",
            mend="name another database in RESNET_CLUSTER_STORE",
        )


def _upgrade(connection: sa.Connection, database: Database) -> None:
    # Imported here: alembic is slow to import and most openings find nothing to do.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise IntegrityError(
            f"{database.where}: made by a later version of this tool",
            mend="upgrade resnet-cluster, or delete the store: it is rebuilt from the runs' events",
        ) from error
