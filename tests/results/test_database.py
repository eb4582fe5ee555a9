"""What happens where two writers of a server's database stand in each other's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from private_postgresql import PostgreSQL

from resnet_cluster.errors import PreflightError
from resnet_cluster.results.database import ConflictError, Database

TIMEOUT_S = 20.0
COUNTERS = sa.table("counters", sa.column("name", sa.Text), sa.column("value", sa.Integer))


@pytest.fixture
def database(postgresql: PostgreSQL) -> Iterator[Database]:
    pytest.importorskip("psycopg", reason="PostgreSQL's driver psycopg is not installed")
    url = f"postgresql://tester@/{postgresql.create_database()}?host={postgresql.folder}"
    database = Database(url, timeout_s=TIMEOUT_S)
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER)")
        connection.execute(COUNTERS.insert(), [{"name": name, "value": 0} for name in "ab"])
    yield database
    database.close()


def test_a_deadlock_is_a_conflict_and_done_again(database: Database) -> None:
    both_hold_one = threading.Barrier(2)

    def count(names: str) -> None:
        tries = iter((True, False, False))

        def update() -> None:
            with database.writing() as connection:
                for name in names:
                    plus_one = COUNTERS.update().where(COUNTERS.c.name == name)
                    connection.execute(plus_one.values(value=COUNTERS.c.value + 1))
                    if name == names[0] and next(tries):
                        both_hold_one.wait(TIMEOUT_S)

        database.patiently(update)

    threads = [threading.Thread(target=count, args=(names,)) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    with database.reading() as connection:
        assert set(connection.execute(sa.select(COUNTERS))) == {("a", 2), ("b", 2)}


def test_the_same_row_is_a_conflict(database: Database) -> None:
    with pytest.raises(ConflictError), database.writing() as connection:
        connection.execute(COUNTERS.insert(), {"name": "a", "value": 1})


def test_conflicts_without_end_are_told(database: Database) -> None:
    def refused() -> None:
        raise ConflictError

    database.timeout_s = 0.1
    with pytest.raises(PreflightError, match=r"kept writing for 0\.1 s"):
        database.patiently(refused)
