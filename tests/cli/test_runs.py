"""`list`, `status`, `logs`, `wait`, `stop`, `rm` on runs whose events were written by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_calls import Call, assert_refused
from factories import make_epoch, make_job, make_run_record, record_run
from sandbox import killed_afterwards

from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    EpochRecord,
    Errors,
    EventLog,
    RunState,
)

ENDS = {
    RunState.SUCCEEDED: 0,
    RunState.FAILED: 100,
    RunState.CANCELLED: 103,
    RunState.DIVERGED: 104,
    RunState.LOST: 105,
}
OWNER = """
import sys
from resnet_cluster.results import own_identity
print(own_identity(), flush=True)
sys.stdin.read()
"""
FACTS = {
    "schema_version",
    "run_id",
    "name",
    "state",
    "key",
    "dataset",
    "epochs_done",
    "step",
    "num_steps",
    "top1_err",
    "attempts",
    "message",
    "created_at",
    "folder",
}


@pytest.fixture
def runs(home: Path) -> Path:
    """The folder of runs."""
    return home / "runs"


@pytest.fixture
def owner() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that is alive, and its identity."""
    argv = [sys.executable, "-c", OWNER]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with killed_afterwards(process):
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


def record_driven_run(runs: Path, identity: str, *, run_id: str = "r-0001") -> EventLog:
    """A run that the process of that identity has begun to drive."""
    log = EventLog(runs / run_id)
    log.record(make_run_record(make_job(), run_id=run_id))
    log.record(AttemptStarted(attempt=1, owner="here:1", identity=identity))
    return log


class TestReferences:
    @pytest.fixture(autouse=True)
    def _recorded(self, runs: Path) -> None:
        for place, (run_id, name) in enumerate(
            [("r-aaaa0001", "first"), ("r-aaaa0002", "second"), ("r-bbbb0003", "first")]
        ):
            job = make_job({"name": name})
            record_run(runs, make_run_record(job, run_id=run_id, minute=place), top1_err=8.75)

    @pytest.mark.parametrize(
        ("reference", "run_id"),
        [
            ("r-aaaa0001", "r-aaaa0001"),
            ("r-b", "r-bbbb0003"),
            ("second", "r-aaaa0002"),
            ("first", "r-bbbb0003"),
        ],
        ids=["id", "prefix", "name", "newest of a name"],
    )
    def test_found(self, reference: str, run_id: str, call: Call) -> None:
        assert call("status", reference, "-o", "json").json()["run_id"] == run_id

    def test_ambiguous(self, call: Call) -> None:
        assert_refused(call("status", "r-aaaa"), 2, "r-aaaa0001", "r-aaaa0002")

    def test_unknown(self, call: Call, runs: Path) -> None:
        for command in ("logs", "wait", "stop", "resume", "rm"):
            assert_refused(call(command, "frist"), 102, "'frist'", "first")
        for reference in ("r-none", "../r-aaaa0001", "[b]\n\x1b[31m", ""):
            refused = call("status", reference)
            assert_refused(refused, 102)
            assert "\x1b" not in refused.err
            assert refused.err.count("\n") == 2
        assert len(list(runs.glob("r-*"))) == 3


class TestShown:
    def test_an_empty_store(self, call: Call) -> None:
        listed = call("list")
        assert (listed.code, listed.out) == (0, "")
        assert "resnet-cluster" in listed.err
        assert call("list", "-o", "json").json() == []
        assert call("report", "--format", "json").json() == []

    def test_list_in_json(self, runs: Path, call: Call) -> None:
        run = make_run_record(make_job(), run_id="r-0001")
        record_run(runs, run, top1_err=8.75)
        (listed,) = call("list", "-o", "json").json()
        assert set(listed) >= FACTS
        assert listed["schema_version"] == 1
        assert (listed["state"], listed["top1_err"]) == ("SUCCEEDED", 8.75)
        assert (listed["step"], listed["num_steps"]) == (780, 64_000)
        assert Path(listed["folder"]) == runs / "r-0001"

    def test_status_in_json(self, runs: Path, call: Call) -> None:
        record_run(runs, make_run_record(make_job(), run_id="r-0001"), top1_err=8.75)
        status = call("status", "r-0001", "-o", "json").json()
        assert set(status) >= FACTS | {"epochs", "evaluations"}
        assert [epoch["epoch"] for epoch in status["epochs"]] == [1, 2]
        assert status["evaluations"][0]["errors"]["top1_err"] == 8.75

    @pytest.mark.parametrize("command", ["status", "logs"])
    def test_a_loss_that_is_not_finite_is_still_json(
        self, command: str, runs: Path, call: Call
    ) -> None:
        log = record_run(runs, make_run_record(make_job(), run_id="r-0001"), num_epochs=0)
        overflown = Errors(loss=float("inf"), top1_err=90.0, top5_err=None, num_images=10)
        log.record(EpochRecord(**(make_epoch(1).model_dump() | {"observed_test": overflown})))
        shown = call(command, "r-0001", "-o", "json")
        assert shown.code == 0, shown.err
        lines = [json.loads(line, parse_constant=pytest.fail) for line in shown.out.splitlines()]
        epochs = lines[0]["epochs"] if command == "status" else lines
        assert [e["observed_test"]["loss"] for e in epochs if "observed_test" in e] == ["Infinity"]

    def test_names_are_whole_in_a_narrow_table(self, runs: Path, call: Call) -> None:
        name = "a-name-of-63-letters-is-long".ljust(63, "x")
        record_run(runs, make_run_record(make_job({"name": name}), run_id="r-0123abcd"))
        header, row = call("list").out.splitlines()
        assert row.split()[:2] == ["r-0123abcd", name]
        assert header.index("state") == row.index("SUCCEEDED")

    def test_logs_show_what_happened_and_what_was_printed(self, runs: Path, call: Call) -> None:
        run = make_run_record(make_job(), run_id="r-0001")
        log = record_run(runs, run, top1_err=8.75, state=RunState.FAILED)
        (log.run_dir / "logs").mkdir()
        (log.run_dir / "logs" / "attempt-001-rank-000.log").write_text("a line\n\x1b[31mred\n")
        shown = call("logs", "r-0001")
        assert (shown.code, shown.err) == (0, "")
        lines = shown.out.splitlines()
        assert [line.split()[2:4] for line in lines if line.split()[2:3] == ["epoch"]] == [
            ["epoch", "1"],
            ["epoch", "2"],
        ]
        ended = log.load("attempt-001-ended").at.astimezone()
        assert f"{ended:%Y-%m-%d %H:%M:%S}  FAILED: as told" in lines
        assert "a line" in lines
        assert "\x1b" not in shown.out

    def test_a_damaged_event_does_not_hide_the_others(self, runs: Path, call: Call) -> None:
        log = record_run(runs, make_run_record(make_job(), run_id="r-0001"), top1_err=8.75)
        (log.folder / "epoch-00001.json").write_text("{")
        for options in ([], ["-f"]):
            shown = call("logs", "r-0001", *options)
            assert shown.code == 0
            assert "warning: " in shown.out
            assert "epoch-00001.json" in shown.out
            assert "epoch   2" in shown.out
            assert "SUCCEEDED" in shown.out

    def test_an_end_that_cannot_be_read_is_shown_as_one(self, runs: Path, call: Call) -> None:
        log = record_run(runs, make_run_record(make_job(), run_id="r-0001"))
        (log.folder / "attempt-001-ended.json").write_text("{")
        status = call("status", "r-0001", "-o", "json").json()
        assert status["state"] == "LOST"
        assert "attempt-001-ended.json" in status["message"]
        assert call("wait", "r-0001").code == 5

    def test_status_names_the_newest_checkpoint(self, runs: Path, call: Call) -> None:
        log = record_run(runs, make_run_record(make_job(), run_id="r-0001"))
        assert call("status", "r-0001", "-o", "json").json()["checkpoint_step"] is None
        for step in (390, 400):
            (log.run_dir / "checkpoints" / f"step-{step:09d}").mkdir(parents=True)
        assert call("status", "r-0001", "-o", "json").json()["checkpoint_step"] == 400

    def test_logs_in_json_are_the_events(self, runs: Path, call: Call) -> None:
        log = record_run(runs, make_run_record(make_job(), run_id="r-0001"), top1_err=8.75)
        lines = [json.loads(line) for line in call("logs", "r-0001", "-o", "json").out.splitlines()]
        assert len(lines) == len(log.names())
        assert {line["schema_version"] for line in lines} == {1}
        assert lines[0]["kind"] == "run"

    def test_a_damaged_run_does_not_hide_the_others(self, runs: Path, call: Call) -> None:
        record_run(runs, make_run_record(make_job(), run_id="r-0001"))
        log = record_run(
            runs, make_run_record(make_job({"name": "other"}), run_id="r-0002"), state=None
        )
        (log.folder / "attempt-001-started.json").write_text("{")
        listed = call("list", "-o", "json")
        assert listed.code == 0, listed.err
        assert "r-0001" in [run["run_id"] for run in listed.json()]
        assert "attempt-001-started.json" in listed.err
        assert call("rm", "--yes", "r-0002").code == 0  # as the warning says
        assert call("list").err == ""


class TestOwners:
    @pytest.mark.parametrize("command", ["status", "list"])
    def test_a_live_owner_is_left_alone(
        self, command: str, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        record_driven_run(runs, owner[1])
        shown = call(command, *(["r-0001"] if command == "status" else []), "-o", "json").json()
        assert (shown if command == "status" else shown[0])["state"] == "PENDING"

    @pytest.mark.parametrize("command", ["status", "list"])
    def test_a_killed_owner_is_noticed_at_once(
        self, command: str, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        process, identity = owner
        log = record_driven_run(runs, identity)
        process.kill()
        process.wait()
        shown = call(command, *(["r-0001"] if command == "status" else []), "-o", "json").json()
        assert (shown if command == "status" else shown[0])["state"] == "LOST"
        assert "attempt-001-ended" in log.names()
        assert call("wait", "r-0001").code == 105

    def test_wait_notices_while_it_waits(
        self, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        process, identity = owner
        record_driven_run(runs, identity)
        killer = threading.Timer(0.5, process.kill)
        killer.start()
        began = time.monotonic()
        waited = call("wait", "r-0001", "--timeout", "30")
        killer.join()
        process.wait()
        assert waited.code == 105
        assert 0.5 < time.monotonic() - began < 20


class TestWait:
    @pytest.mark.parametrize("state", ENDS)
    def test_the_exit_code_says_how_it_ended(self, state: RunState, runs: Path, call: Call) -> None:
        record_run(runs, make_run_record(make_job(), run_id="r-0001"), state=state)
        waited = call("wait", "r-0001")
        assert (waited.code, waited.out) == (ENDS[state], "")
        assert state in waited.err

    def test_a_time_that_is_over(
        self, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        record_driven_run(runs, owner[1])
        assert_refused(call("wait", "r-0001", "--timeout", "0"), 124, "r-0001")

    @pytest.mark.parametrize("follow", [["wait"], ["logs", "-f"]], ids=" ".join)
    def test_an_end_that_comes_meanwhile(
        self,
        follow: list[str],
        runs: Path,
        call: Call,
        owner: tuple[subprocess.Popen[str], str],
    ) -> None:
        log = record_driven_run(runs, owner[1])
        end = AttemptEnded(attempt=1, state=RunState.CANCELLED)
        writer = threading.Timer(0.5, log.record, [end])
        writer.start()
        waited = call(*follow, "r-0001")
        writer.join()
        assert waited.code == 103
        assert "CANCELLED" in waited.out + waited.err

    def test_the_end_of_an_earlier_attempt_is_not_the_end(
        self, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        log = record_run(
            runs, make_run_record(make_job(), run_id="r-0001"), state=RunState.CANCELLED
        )
        log.record(AttemptStarted(attempt=2, owner="here:1", identity=owner[1]))
        assert call("status", "r-0001", "-o", "json").json()["state"] == "RECOVERING"
        assert call("wait", "r-0001", "--timeout", "0").code == 124


class TestStop:
    def test_asks_and_waits(
        self, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        log = record_driven_run(runs, owner[1])

        def obey() -> None:
            deadline = time.monotonic() + 30
            while not (log.run_dir / "stop-001").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            log.record(AttemptEnded(attempt=1, state=RunState.CANCELLED))

        worker = threading.Thread(target=obey)
        worker.start()
        stopped = call("stop", "r-0001")
        worker.join()
        assert (stopped.code, stopped.out) == (0, "")
        assert "CANCELLED" in stopped.err

    def test_gives_up_at_its_deadline(
        self, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        record_driven_run(runs, owner[1])
        assert_refused(call("stop", "r-0001", "--timeout", "0"), 124, "r-0001")

    def test_a_run_that_has_ended(self, runs: Path, call: Call) -> None:
        log = record_run(runs, make_run_record(make_job(), run_id="r-0001"))
        stopped = call("stop", "r-0001")
        assert stopped.code == 0
        assert "SUCCEEDED" in stopped.err
        assert not list(log.run_dir.glob("stop-*"))

    def test_a_run_that_never_began(self, runs: Path, call: Call) -> None:
        log = EventLog(runs / "r-0001")
        log.record(make_run_record(make_job(), run_id="r-0001"))
        assert_refused(call("stop", "r-0001"), 2, "r-0001")
        assert not list(log.run_dir.glob("stop-*"))  # or it would stop the next attempt


class TestRemove:
    def test_a_run_that_has_ended_is_gone_for_good(self, runs: Path, call: Call) -> None:
        record_run(runs, make_run_record(make_job(), run_id="r-0001"))
        record_run(runs, make_run_record(make_job({"name": "other"}), run_id="r-0002"))
        removed = call("rm", "--yes", "r-0001")
        assert (removed.code, removed.out) == (0, "")
        assert [run["run_id"] for run in call("list", "-o", "json").json()] == ["r-0002"]
        assert not (runs / "r-0001").exists()

    def test_a_live_run_is_kept(
        self, runs: Path, call: Call, owner: tuple[subprocess.Popen[str], str]
    ) -> None:
        log = record_driven_run(runs, owner[1])
        assert_refused(call("rm", "--yes", "r-0001"), 2, "resnet-cluster stop")
        assert log.names()

    def test_asks_first(
        self, runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        log = record_run(runs, make_run_record(make_job(), run_id="r-0001"))
        for answer, code in (("", 2), ("n\n", 2)):
            (tmp_path / "answer").write_text(answer)
            with (tmp_path / "answer").open() as stdin:
                monkeypatch.setattr(sys, "stdin", stdin)
                assert call("rm", "r-0001").code == code
            assert log.names()

    def test_a_run_whose_storage_is_away(
        self, runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record_run(runs, make_run_record(make_job(), run_id="r-0001"))
        assert len(call("list", "-o", "json").json()) == 1
        shutil.move(runs, runs.with_name("elsewhere"))
        refused = call("rm", "--yes", "r-0001")
        assert refused.code == 3
        assert refused.err.splitlines()[-2].startswith(f"error: {runs / 'r-0001'}")
        shutil.move(runs.with_name("elsewhere"), runs)
        assert len(call("list", "-o", "json").json()) == 1
