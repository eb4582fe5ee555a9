"""Who drives an attempt is known for certain here, and by a heartbeat elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from factories import make_job, make_run_record
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    EventLog,
    Heartbeat,
    RunState,
    last_attempt,
    note_lost_owner,
    own_identity,
    own_name,
)
from resnet_cluster.results.base import now
from resnet_cluster.results.ownership import SILENCE_S, heartbeat_path, is_owner_alive

_CLAIM = """
import json, sys
from pathlib import Path
from resnet_cluster.results import AttemptStarted, EventLog, own_name
log = EventLog(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
attempts = [AttemptStarted(attempt=number, owner=own_name()) for number in range(1, 51)]
print(json.dumps([attempt.attempt for attempt in attempts if log.record(attempt)]))
"""
HERE = own_identity().rpartition("|")[0]


def started_by(identity: str, *, age_s: float = 0.0) -> AttemptStarted:
    """An attempt that began `age_s` ago."""
    return AttemptStarted(
        attempt=1, owner="somebody", identity=identity, at=now() - timedelta(seconds=age_s)
    )


def test_this_process_is_alive(tmp_path: Path) -> None:
    assert is_owner_alive(tmp_path, started_by(own_identity(), age_s=1e6))
    assert own_name().endswith(f":{os.getpid()}")


def test_a_pid_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    pid, _, start = own_identity().rpartition("|")[2].partition("@")
    assert not is_owner_alive(tmp_path, started_by(f"{HERE}|{pid}@{int(start) - 1}"))
    assert not is_owner_alive(tmp_path, started_by(f"{HERE}|{pid}@"))


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat")
    start = stat.read_text().rpartition(")")[2].split()[19]
    started = started_by(f"{HERE}|{child.pid}@{start}")
    assert is_owner_alive(tmp_path, started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert stat.read_text().rpartition(")")[2].split()[0] == "Z"
    assert not is_owner_alive(tmp_path, started)
    child.wait()
    assert not is_owner_alive(tmp_path, started)


def test_the_identity_is_the_kernel_s(tmp_path: Path) -> None:
    program = "from resnet_cluster.results import own_identity; print(own_identity()); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        identity = child.stdout.readline().strip()
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        assert identity == f"{HERE}|{child.pid}@{stat[19]}"
        assert is_owner_alive(tmp_path, started_by(identity))
    finally:
        child.kill()
        child.communicate()
    assert not is_owner_alive(tmp_path, started_by(identity))


class TestElsewhere:
    ELSEWHERE = "another-host/another-boot/pid:[1]|17@42"

    @pytest.mark.parametrize("age_s", [0, SILENCE_S / 2, SILENCE_S * 1.5, 1e6])
    def test_the_heartbeat_tells(self, age_s: float, tmp_path: Path) -> None:
        beat = heartbeat_path(tmp_path, 1)
        beat.touch()
        os.utime(beat, (time.time() - age_s,) * 2)
        alive = is_owner_alive(tmp_path, started_by(self.ELSEWHERE, age_s=1e6))
        assert alive is (age_s < SILENCE_S)

    @pytest.mark.parametrize("age_s", [0, SILENCE_S * 1.5])
    def test_before_its_first_beat_its_start_does(self, age_s: float, tmp_path: Path) -> None:
        alive = is_owner_alive(tmp_path, started_by(self.ELSEWHERE, age_s=age_s))
        assert alive is (age_s < SILENCE_S)

    def test_a_container_on_this_host_is_elsewhere(self, tmp_path: Path) -> None:
        host, boot, _ = HERE.split("/")
        identity = f"{host}/{boot}/pid:[1]|{os.getpid()}@1"
        assert is_owner_alive(tmp_path, started_by(identity))

    @given(identity=st.text(max_size=60))
    def test_any_identity_is_judged(self, identity: str) -> None:
        nowhere = Path("/nonexistent")
        assert is_owner_alive(nowhere, started_by(identity))
        assert not is_owner_alive(nowhere, started_by(identity, age_s=SILENCE_S + 1))


def test_a_heart_beats_until_it_is_closed(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, 3)
    deadline = time.monotonic() + 10
    while not heartbeat_path(tmp_path, 3).exists():
        assert time.monotonic() < deadline
    heartbeat.close()
    assert list(tmp_path.iterdir()) == []


class TestLost:
    @pytest.fixture
    def log(self, tmp_path: Path) -> EventLog:
        log = EventLog(tmp_path / "r-0001")
        log.record(make_run_record(make_job()))
        return log

    def test_a_run_that_never_began_has_no_owner_to_lose(self, log: EventLog) -> None:
        assert last_attempt(log) == 0
        assert not note_lost_owner(log.run_dir)
        assert log.names() == ["run"]

    def test_a_live_owner(self, log: EventLog) -> None:
        log.record(started_by(own_identity()))
        assert not note_lost_owner(log.run_dir)
        assert "attempt-001-ended" not in log.names()

    def test_a_dead_owner_is_noted_once(self, log: EventLog) -> None:
        log.record(started_by(f"{HERE}|0@0"))
        assert note_lost_owner(log.run_dir)
        assert not note_lost_owner(log.run_dir)
        ended = log.load("attempt-001-ended")
        assert isinstance(ended, AttemptEnded)
        assert (ended.state, "somebody" in ended.message) == (RunState.LOST, True)

    def test_only_the_last_attempt_counts(self, log: EventLog) -> None:
        log.record(started_by(f"{HERE}|0@0"))
        log.record(AttemptStarted(attempt=2, owner="somebody", identity=own_identity()))
        assert last_attempt(log) == 2
        assert not note_lost_owner(log.run_dir)

    def test_a_damaged_start_leaves_the_heartbeat(self, log: EventLog) -> None:
        log.record(started_by(own_identity()))
        (log.folder / "attempt-001-started.json").write_text("{")
        heartbeat_path(log.run_dir, 1).touch()
        assert not note_lost_owner(log.run_dir)
        heartbeat_path(log.run_dir, 1).unlink()
        assert note_lost_owner(log.run_dir)


def test_of_several_processes_one_gets_each_attempt(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _CLAIM, str(tmp_path)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        won = {process.pid: json.loads(process.communicate(timeout=60)[0]) for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sorted(number for numbers in won.values() for number in numbers) == list(range(1, 51))
    for pid, numbers in won.items():
        for number in numbers:
            started = EventLog(tmp_path).load(f"attempt-{number:03d}-started")
            assert isinstance(started, AttemptStarted)
            assert started.owner.endswith(f":{pid}")
