"""SQLite's own troubles: locks, damage, full disks, files of others, many openings at once."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from factories import make_job, make_run_record, record_run

from resnet_cluster.errors import IntegrityError, PreflightError, UsageError
from resnet_cluster.results import ResultStore, schema

RUN = make_run_record(make_job())

_OPEN = """
import sys
from pathlib import Path
from resnet_cluster.results import ResultStore
print("ready", flush=True)
sys.stdin.readline()
with ResultStore.open(sys.argv[1], runs_root=Path(sys.argv[2])) as store:
    store.ingest()
    print(len(store.runs()))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def open_store(path: Path, root: Path, *, timeout_s: float = 15.0) -> ResultStore:
    return ResultStore.open(f"sqlite:///{path}", runs_root=root, timeout_s=timeout_s)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()


def test_a_deleted_store_is_rebuilt_from_the_events(path: Path, root: Path) -> None:
    for number in range(3):
        record_run(root, make_run_record(make_job(), run_id=f"r-{number}"), top1_err=8.0 + number)
    with open_store(path, root) as store:
        store.ingest()
        before = store.runs()
    path.unlink()
    with open_store(path, root) as store:
        assert store.runs() == ()
        store.ingest()
        assert store.runs() == before


def test_a_run_whose_folder_is_gone_is_dropped(path: Path, root: Path) -> None:
    log = record_run(root, RUN)
    with open_store(path, root) as store:
        store.ingest()
        log.run_dir.rename(root.with_name("elsewhere"))
        assert store.ingest() == ()
        assert store.runs() == ()


def test_a_storage_that_cannot_be_read_keeps_its_runs(path: Path, root: Path) -> None:
    record_run(root, RUN)
    with open_store(path, root) as store:
        store.ingest()
        root.rename(root.with_name("unmounted"))
        (warning,) = store.ingest()
        assert str(root) in warning
        assert [run.run_id for run in store.runs()] == [RUN.run_id]


def test_of_two_storages_only_the_one_that_can_be_read_loses_runs(path: Path, root: Path) -> None:
    away = root.with_name("cluster")
    record_run(away, RUN)
    kept, dropped = (make_run_record(make_job(), run_id=f"r-{n}") for n in ("kept", "dropped"))
    record_run(root, kept)
    log = record_run(root, dropped)
    with open_store(path, away) as store:
        store.ingest()
    with open_store(path, root) as store:
        store.ingest()
        away.rename(root.with_name("unmounted"))
        log.run_dir.rename(root.with_name("elsewhere"))
        (warning,) = store.ingest()
        assert str(away) in warning
        assert {run.run_id for run in store.runs()} == {RUN.run_id, kept.run_id}
        root.with_name("unmounted").rename(away)
        assert store.ingest() == ()
        assert {run.run_id for run in store.runs()} == {RUN.run_id, kept.run_id}


def test_an_event_that_was_taken_away_is_no_longer_told(path: Path, root: Path) -> None:
    log = record_run(root, RUN, num_epochs=3)
    with open_store(path, root) as store:
        store.ingest()
        (log.folder / "epoch-00003.json").unlink()
        store.ingest()
        assert store.run(RUN.run_id).epochs_done == 2


def test_a_locked_store_is_reported_within_its_deadline(path: Path, root: Path) -> None:
    record_run(root, RUN)
    with open_store(path, root, timeout_s=0.2) as store:
        with locked(path):
            began = time.monotonic()
            for use in (store.ingest, store.runs, lambda: open_store(path, root, timeout_s=0.2)):
                with pytest.raises(PreflightError, match=r"locked.*0\.2 s"):
                    use()
            assert time.monotonic() - began < 5
        assert store.ingest() == ()
        assert len(store.runs()) == 1


def test_reading_does_not_lock_others_out(path: Path, root: Path) -> None:
    record_run(root, RUN)
    with open_store(path, root, timeout_s=0.2) as store:
        store.ingest()
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        assert len(store.runs()) == 1
        assert store.ingest() == ()  # nothing new: it only looks
        writer.close()


@pytest.mark.parametrize(
    ("table", "where", "index"),
    [
        (schema.events, schema.IS_USE & schema.events.c.name.like("a%"), "ix_events_uses"),
        (schema.epochs, schema.IS_OBSERVED, "ix_epochs_observed"),
    ],
)
def test_uses_are_counted_by_an_index_of_them(
    path: Path, root: Path, table: sa.Table, where: sa.ColumnElement[bool], index: str
) -> None:
    open_store(path, root).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    query = sa.select(sa.func.count()).select_from(table).where(where)
    text = query.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        (plan,) = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")
    engine.dispose()
    assert f"COVERING INDEX {index}" in plan[-1]


def test_several_processes_may_be_the_first_to_open(path: Path, root: Path) -> None:
    record_run(root, RUN)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, f"sqlite:///{path}", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert answers == [(b"1\n", b"")] * 3


@pytest.mark.parametrize("content", [b"these are my notes\n" * 100, b"\0" * 8192])
def test_a_file_that_is_no_database_is_left_alone(path: Path, root: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="not a database") as refused:
        open_store(path, root)
    assert "rebuilt from the runs' events" in refused.value.mend
    assert path.read_bytes() == content


def test_a_damaged_store_is_an_integrity_error(path: Path, root: Path) -> None:
    for number in range(20):
        record_run(root, make_run_record(make_job(), run_id=f"r-{number}"), top1_err=8.0)
    with open_store(path, root) as store:
        store.ingest()
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="damaged"):
            store.runs()
        with pytest.raises(IntegrityError):
            store.ingest()


def test_another_tools_database_is_left_alone(path: Path, root: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE trials (id INTEGER)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(IntegrityError, match="another tool's tables") as refused:
        open_store(path, root)
    assert "delete" not in refused.value.mend
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("url", "kind", "says"),
    [
        ("/home/me/store.db", UsageError, "not a database URL"),
        ("", UsageError, "not a database URL"),
        ("sqlite://", UsageError, "memory"),
        ("sqlite:///:memory:", UsageError, "memory"),
        ("nosuch://me:secret@host/name", UsageError, "cannot be kept in nosuch"),
        ("mysql://host/name", UsageError, "cannot be kept in mysql"),
        ("sqlite+nosuch:////tmp/store.db", UsageError, "no such driver of a database"),
        ("postgresql+pg8000://me:secret@host/x", PreflightError, "pg8000, which is not installed"),
    ],
)
def test_an_address_that_makes_no_sense(
    url: str, kind: type[Exception], says: str, root: Path
) -> None:
    with pytest.raises(kind, match=says) as refused:
        ResultStore.open(url, runs_root=root)
    assert "secret" not in str(refused.value)


def test_a_folder_in_the_place_of_the_store(path: Path, root: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(PreflightError, match="cannot be used"):
        open_store(path, root)
    with pytest.raises(PreflightError, match="cannot be made"):
        open_store(Path("/proc/nowhere/store.db"), root)


def test_a_full_disk_costs_no_events(path: Path, root: Path) -> None:
    with open_store(path, root) as store:
        for number in range(40):
            record_run(root, make_run_record(make_job(), run_id=f"r-{number:02d}"), top1_err=8.0)
        # A limit on the size of files is how an ordinary process meets a disk that fills up.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
        try:
            with pytest.raises(PreflightError, match="cannot be used"):
                store.ingest()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.ingest()
        assert len(store.runs()) == 40
    assert os.listdir(path.parent) == ["store.db"]
