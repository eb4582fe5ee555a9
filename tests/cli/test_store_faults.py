"""The store is an index: what happens to it costs a message, never a result."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_calls import Call, assert_refused
from factories import make_job, make_run_record, record_run


@pytest.fixture
def report(home: Path, call: Call) -> str:
    """The report on two runs."""
    for place, error in enumerate((8.75, 8.5), start=1):
        run = make_run_record(
            make_job({"name": f"run-{place}", "seed": place}), run_id=f"r-000{place}", minute=place
        )
        record_run(home / "runs", run, top1_err=error)
    shown = call("report", "--format", "json")
    assert [row["run_id"] for row in shown.json()] == ["r-0001", "r-0002"]
    return shown.out


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_store_is_rebuilt_once_it_is_deleted(
    damage: bytes, report: str, call: Call, home: Path
) -> None:
    store = home / "store.db"
    store.write_bytes(damage)
    refused = call("report", "--format", "json")
    if damage:
        assert_refused(refused, 5, str(store), "delete it")
        assert store.read_bytes() == damage  # nothing of the user's is thrown away unasked
        store.unlink()
    assert call("report", "--format", "json").out == report


def test_a_home_that_is_a_file(call: Call, home: Path) -> None:
    home.touch()
    for command in ("list", "report"):
        assert_refused(call(command), 3, str(home), "RESNET_CLUSTER_HOME")


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "oracle://x/y"])
def test_a_store_that_makes_no_sense(url: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CLUSTER_STORE", url)
    refused = call("list")
    assert refused.code in (2, 3)
    assert_refused(refused, refused.code)


def test_a_report_goes_to_a_file_whole(report: str, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    written = call("report", "--format", "json", "--out", path)
    assert (written.code, written.out) == (0, "")
    assert path.read_text() == report
    (tmp_path / "file").touch()
    refused = call("report", "--out", tmp_path / "file" / "report.md")
    assert_refused(refused, 2, str(tmp_path / "file"))
    assert_refused(call("report", "--out", ""), 2, "is a folder")
    assert_refused(call("report", "--format", "csv", "-o", "json"), 2, "exclude each other")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that may be made read-only."""
    folder = tmp_path / "storage"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_runs_on_a_storage_that_may_only_be_read(
    read_only: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_run(read_only, make_run_record(make_job(), run_id="r-0001"), state=None)
    subprocess.run(["mount", "-o", "remount,ro", str(read_only)], check=True)
    monkeypatch.setenv("RESNET_CLUSTER_RUNS", str(read_only))
    for argv in (["list"], ["status", "r-0001"], ["report"]):
        assert call(*argv).code == 0
