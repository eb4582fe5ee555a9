"""A database by its URL: transactions with one owner, and errors that a user can act on."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from resnet_cluster.errors import IntegrityError, PreflightError, ResnetClusterError, UsageError
from resnet_cluster.results.mounts import network_file_system

_REBUILT = "it is only an index, rebuilt from the runs' events when it is next opened"

_ROLLED_BACK = "40"
"""Class of PostgreSQL's codes for a deadlock, and for what a server that serialises refuses."""

Value = TypeVar("Value")


class ConflictError(Exception):
    """Another process wrote the same rows: the transaction is undone, and may be tried again."""


class Database:
    """A database that other processes use too.

    Args:
        url: SQLAlchemy URL.
        timeout_s: how long a lock held by another process is waited for.

    Raises:
        UsageError: the URL cannot be read.
        PreflightError: its driver is not installed, or SQLite would lie on a network file system.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._url = _absolute(_parsed(url))
        self._engine = _build_engine(self._url, timeout_s)
        self._writing = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")

    @property
    def where(self) -> str:
        """The URL, without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is one file, ours alone."""
        return self._url.get_backend_name() == "sqlite"

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads.

        Raises:
            PreflightError: the database does not answer or stays locked.
            IntegrityError: it is damaged or is no database.
        """
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: committed at the end of the block, undone by an exception.

        Raises:
            PreflightError: the database does not answer, stays locked, or cannot be written.
            IntegrityError: it is damaged or is no database.
            ConflictError: another process wrote the same rows first; nothing of this is written.
            sqlalchemy.exc.DataError: a value is one that the database cannot hold.
        """
        with self._translated(), self._writing.begin() as connection:
            yield connection

    def patiently(self, work: Callable[[], Value]) -> Value:
        """What `work` returns, which is done again where another process wrote the same rows.

        Raises:
            PreflightError: the others kept writing until the timeout.
        """
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                return work()
            except ConflictError as error:
                if time.monotonic() > deadline:
                    raise PreflightError(
                        f"{self.where}: other processes kept writing for {self.timeout_s:g} s",
                        mend="try again; nothing is lost",
                    ) from error

    def close(self) -> None:
        """Give up what the driver holds."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DataError:
            raise
        except exc.DBAPIError as error:
            if isinstance(error, exc.IntegrityError) or _code(error).startswith(_ROLLED_BACK):
                raise ConflictError(str(error)) from error
            raise _for_users(error, self.where, self.timeout_s) from error


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise UsageError(
            "the address of the result store is not a database URL",
            mend="write it as sqlite:////absolute/path/store.db or postgresql://user@host/name",
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(
            f"the result store cannot be kept in {parsed.get_backend_name()}",
            mend="use sqlite:////absolute/path/store.db or postgresql://user@host/name",
        )
    if parsed.drivername == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _absolute(url: sa.URL) -> sa.URL:
    if url.get_backend_name() != "sqlite":
        return url
    if url.database in (None, "", ":memory:"):
        raise UsageError(
            "a result store in memory would forget everything",
            mend="name a file: sqlite:////absolute/path/store.db",
        )
    path = Path(str(url.database)).expanduser().absolute()
    if kind := network_file_system(path):
        raise PreflightError(
            f"the result store {path} lies on a network file system ({kind}), "
            "where SQLite's locks do not hold",
            mend="set RESNET_CLUSTER_STORE=sqlite:////local/disk/store.db "
            "(the runs may stay where they are), or use a PostgreSQL URL",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PreflightError(
            f"the folder of the result store cannot be made: {error}",
            mend="set RESNET_CLUSTER_STORE to a place that you can write",
        ) from error
    return url.set(database=str(path))


def _build_engine(url: sa.URL, timeout_s: float) -> sa.Engine:
    options: dict[str, object] = {}
    if url.get_backend_name() == "sqlite":
        options = {"timeout": timeout_s}
    elif url.get_backend_name() == "postgresql":
        lock_ms = math.ceil(timeout_s * 1000)
        options = {"connect_timeout": math.ceil(timeout_s), "options": f"-c lock_timeout={lock_ms}"}
    try:
        # No pool: a connection that outlives its block would be inherited by forked processes.
        engine = sa.create_engine(url, poolclass=NullPool, connect_args=options)
    except ModuleNotFoundError as error:
        raise _no_driver(url, error.name or "its driver") from error
    except exc.ArgumentError as error:
        raise UsageError(
            f"no such driver of a database: {url.drivername}",
            mend="use sqlite:////absolute/path/store.db or postgresql://user@host/name",
        ) from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _no_driver(url: sa.URL, module: str) -> PreflightError:
    package = "psycopg[binary]" if module == "psycopg" else module
    return PreflightError(
        f"{url.get_backend_name()} needs the Python package {module}, which is not installed",
        mend=f"pip install '{package}'",
    )


def _prepare_sqlite(
    connection: sa.engine.interfaces.DBAPIConnection, _: ConnectionPoolEntry
) -> None:
    # Python's driver begins no transaction before DDL and no immediate one at all: we do it.
    # Its journal stays the rollback journal: WAL needs memory shared through the file system.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the lock at once: one that reads first can be refused when it goes on to write.
    begin = connection.get_execution_options().get("sqlite_begin", "BEGIN")
    connection.exec_driver_sql(begin)


def _code(error: exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", "") or getattr(error.orig, "sqlstate", ""))


def _for_users(error: exc.DBAPIError, where: str, timeout_s: float) -> ResnetClusterError:
    code = _code(error)
    reason = " ".join(str(error.orig).split())
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "55P03")):
        return PreflightError(
            f"{where}: locked by another process for more than {timeout_s:g} s",
            mend="end the process that holds it, then try again; nothing is lost",
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return IntegrityError(
            f"{where}: not a database, or a damaged one ({reason})",
            mend=f"if this was the tool's store, delete it: {_REBUILT}; else name another",
        )
    if isinstance(error, exc.ProgrammingError) or code == "SQLITE_ERROR":
        return IntegrityError(
            f"{where}: not the tables that this tool made ({reason})",
            mend=f"delete the store: {_REBUILT}",
        )
    return PreflightError(
        f"{where}: the result store cannot be used ({reason})",
        mend="see that it is running and can be written, or set RESNET_CLUSTER_STORE to another",
    )
