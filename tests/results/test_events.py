"""Events: written once, whoever comes first; read whole or refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import make_epoch, make_job, make_run_record, record_run

from resnet_cluster.errors import IntegrityError
from resnet_cluster.results import AttemptEnded, EventLog, RunState

_END = """
import sys
from pathlib import Path
from resnet_cluster.results import AttemptEnded, EventLog, RunState
ended = AttemptEnded(attempt=1, state=RunState(sys.argv[2]), message=sys.argv[2])
log = EventLog(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(log.record(ended), flush=True)
"""


def test_an_event_is_written_once(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "r-1")
    assert log.names() == []
    assert log.record(make_epoch(1))
    assert not log.record(make_epoch(1).model_copy(update={"lr": 0.5}))
    assert log.load("epoch-00001") == make_epoch(1)
    assert os.listdir(log.folder) == ["epoch-00001.json"]


def test_of_several_processes_one_ends_the_attempt(tmp_path: Path) -> None:
    states = ["SUCCEEDED", "FAILED", "CANCELLED", "LOST"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _END, str(tmp_path / "r-1"), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for state in states
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sorted(answers) == [b"False\n"] * 3 + [b"True\n"]
    winner = states[answers.index(b"True\n")]
    ended = EventLog(tmp_path / "r-1").load("attempt-001-ended")
    assert isinstance(ended, AttemptEnded)
    assert ended.state == ended.message == winner


def test_known_events_are_not_read_again(tmp_path: Path) -> None:
    log = record_run(tmp_path, make_run_record(make_job()), num_epochs=2)
    (log.folder / "epoch-00001.json").write_text("torn")
    read = dict(log.read(known=["epoch-00001", "run"]))
    attempt = {"attempt-001-started", "attempt-001-training", "attempt-001-ended"}
    assert read.keys() == {"epoch-00002"} | attempt
    times = [record.at for record in read.values()]
    assert times == sorted(times)
    with pytest.raises(IntegrityError, match=r"epoch-00001\.json: not an event"):
        dict(log.read())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"null", b"{", b'{"kind": "epoch"}', b"[" * 100_000, b"\0" * 512],
)
def test_what_is_no_event_is_refused(tmp_path: Path, content: bytes) -> None:
    log = EventLog(tmp_path)
    log.folder.mkdir()
    (log.folder / "epoch-00001.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"epoch-00001\.json: not an event"):
        log.load("epoch-00001")


def test_an_event_under_another_name_is_refused(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.record(make_epoch(1))
    (log.folder / "epoch-00001.json").rename(log.folder / "epoch-00002.json")
    with pytest.raises(IntegrityError, match=r"a copy of epoch-00001\.json"):
        log.load("epoch-00002")
    with pytest.raises(IntegrityError, match="FileNotFoundError"):
        log.load("epoch-00001")


def test_an_event_of_a_later_version_says_so(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.folder.mkdir()
    (log.folder / "energy-1.json").write_text('{"schema_version": 2, "kind": "energy"}')
    with pytest.raises(IntegrityError, match="later version") as refused:
        log.load("energy-1")
    assert "upgrade" in refused.value.mend


def test_files_in_the_making_are_no_events(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.record(make_epoch(1))
    for name in (".epoch-00002.json.x1", ".epoch-00002.json", "notes.txt"):
        (log.folder / name).write_text("{}")
    assert log.names() == ["epoch-00001"]


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file in the folder's place")
    with pytest.raises(NotADirectoryError):
        EventLog(tmp_path).names()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a small file system can only be mounted as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> None:
    with (disk / "others").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass


def test_a_run_that_fills_the_disk_can_still_say_so(small_disk: Path) -> None:
    log = EventLog(small_disk / "r-1")
    log.record(make_epoch(1))
    log.reserve_space()
    fill(small_disk)
    ended = AttemptEnded(attempt=1, state=RunState.FAILED, message="the disk is full")
    assert log.record(ended)
    assert log.load("attempt-001-ended") == ended


def test_without_its_reserve_a_full_disk_is_an_error(small_disk: Path) -> None:
    log = EventLog(small_disk / "r-1")
    log.record(make_epoch(1))
    log.reserve_space()
    log.release_space()
    fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        log.record(make_epoch(2))
    assert log.names() == ["epoch-00001"]
