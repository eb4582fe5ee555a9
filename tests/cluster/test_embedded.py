"""Whole runs on a cluster that lives in the command: done, stopped, killed, gone on with."""

from __future__ import annotations

import hashlib
import re
import signal
from pathlib import Path

import pytest
from sandbox import Result, Sandbox
from tiny_runs import (
    EPOCHS,
    NUM_EPOCHS,
    STEPS_PER_EPOCH,
    Done,
    assert_same_weights,
    checkpoint_steps,
    events,
    only_run,
    tiny_job,
    wait_until_mid_epoch,
    worker_pids,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]


class TestDone:
    def test_stdout_has_the_id_and_nothing_else(self, done: Done) -> None:
        assert done.result.code == 0, done.result.err
        assert re.fullmatch(r"r-[0-9a-f]{8}\n", done.result.out)
        assert done.result.out.strip() == done.run_dir.name

    def test_stderr_is_plain_and_without_noise(self, done: Done) -> None:
        lines = done.result.err.splitlines()
        assert not [line for line in lines if "\x1b" in line or "ray" in line.lower().split()]
        # A slow machine prints a line of progress now and then, which says how much is left.
        epochs = [line for line in lines if line.startswith("epoch ") and "left" not in line]
        assert len(epochs) == NUM_EPOCHS
        assert "SUCCEEDED" in lines

    def test_its_workers_logs_are_without_noise(self, done: Done) -> None:
        logs = sorted(done.run_dir.glob("logs/*-rank-*.log"))
        assert len(logs) == 2
        assert [log.read_text() for log in logs] == ["", ""]

    def test_its_weights_are_those_that_plain_processes_train(
        self, done: Done, reference: Path
    ) -> None:
        assert_same_weights(done.run_dir, reference)

    def test_every_epoch_is_recorded_once(self, done: Done) -> None:
        status = done.sandbox.run("status", "tiny", "-o", "json").json()
        assert status["state"] == "SUCCEEDED"
        assert [epoch["epoch"] for epoch in status["epochs"]] == [1, 2, 3]
        assert [epoch["step"] for epoch in status["epochs"]] == [
            STEPS_PER_EPOCH * epoch for epoch in (1, 2, 3)
        ]

    def test_every_test_image_is_counted_once(self, done: Done) -> None:
        (figure,) = [e for name, e in events(done.run_dir).items() if name.startswith("evaluation")]
        assert figure["errors"]["num_images"] == 359
        assert figure["step"] == NUM_EPOCHS * STEPS_PER_EPOCH

    def test_the_hash_of_the_weights_is_recorded(self, done: Done) -> None:
        recorded = events(done.run_dir)["artefact-weights"]
        content = (done.run_dir / recorded["path"]).read_bytes()
        assert recorded["sha256"] == hashlib.sha256(content).hexdigest()
        assert recorded["num_bytes"] == len(content)

    def test_the_report_has_its_row_and_so_has_one_of_a_rebuilt_store(self, done: Done) -> None:
        report = done.sandbox.run("report", "--format", "json")
        (row,) = report.json()
        figure = events(done.run_dir)["evaluation-single-test-final"]
        assert row["run_id"] == done.run_dir.name
        assert row["top1_err"] == pytest.approx(figure["errors"]["top1_err"])
        assert row["published_top1_err"] is None
        (done.sandbox.home / "store.db").unlink()
        assert done.sandbox.run("report", "--format", "json") == report

    def test_the_same_job_again_comes_back_at_once(self, done: Done) -> None:
        sessions = _ray_sessions(done.sandbox)
        again = done.sandbox.run("submit", "job.yaml")
        resumed = done.sandbox.run("resume", "tiny")
        assert (again.code, again.out) == (resumed.code, resumed.out) == (0, done.result.out)
        assert _ray_sessions(done.sandbox) == sessions  # none was started for it
        assert list(events(done.run_dir)).count("attempt-002-started") == 0

    def test_its_name_is_refused_to_another_experiment(self, done: Done) -> None:
        refused = done.sandbox.run("submit", "job.yaml", "--seed", "8")
        assert (refused.code, refused.out) == (2, "")
        assert done.run_dir.name in refused.err
        assert "--name" in refused.err
        assert only_run(done.sandbox) == done.run_dir


def test_a_run_survives_ctrl_c_and_the_death_of_its_owner(
    sandbox: Sandbox, reference: Path
) -> None:
    job = sandbox.write_job(tiny_job())
    interrupted, run_dir = _interrupt_mid_epoch(sandbox, job)
    assert interrupted.code == 128 + signal.SIGINT, interrupted.err
    assert interrupted.out == f"{run_dir.name}\n"
    assert "resume" in interrupted.err
    assert "Traceback" not in interrupted.err
    assert events(run_dir)["attempt-001-ended"]["state"] == "CANCELLED"
    stopped_at = checkpoint_steps(run_dir)[-1]

    _kill_owner_mid_epoch(sandbox, job)
    going_on = events(run_dir)["attempt-002-training"]["first_step"]
    assert going_on == stopped_at
    assert sandbox.run("wait", "tiny").code == 105

    resumed = sandbox.run("resume", "tiny")
    assert (resumed.code, resumed.out) == (0, interrupted.out), resumed.err
    assert events(run_dir)["attempt-003-training"]["first_step"] > stopped_at
    assert [name for name in events(run_dir) if name.startswith("epoch-")] == EPOCHS
    assert_same_weights(run_dir, reference)


def _interrupt_mid_epoch(sandbox: Sandbox, job: Path) -> tuple[Result, Path]:
    """Ctrl-C once, and what came of it."""
    command = sandbox.start("submit", job)
    run_dir = wait_until_mid_epoch(sandbox, command)
    command.interrupt()
    interrupted = command.finish()
    sandbox.wait_for_the_end()
    return interrupted, run_dir


def _kill_owner_mid_epoch(sandbox: Sandbox, job: Path) -> None:
    """Kill a command that goes on with the run: its loss is known at once, its cluster ends."""
    command = sandbox.start("submit", job)
    wait_until_mid_epoch(sandbox, command, attempt=2)
    command.process.kill()
    assert command.finish().code == -signal.SIGKILL
    status = sandbox.run("status", "tiny", "-o", "json").json()
    assert status["state"] == "LOST"
    assert str(command.process.pid) in status["message"]
    sandbox.wait_for(lambda: not worker_pids(sandbox), timeout_s=30)


def _ray_sessions(sandbox: Sandbox) -> list[str]:
    return sorted(path.name for path in (sandbox.folder / "ray").glob("session_2*"))


def test_ctrl_c_while_ray_starts_ends_the_command_and_creates_nothing(sandbox: Sandbox) -> None:
    command = sandbox.start("submit", sandbox.write_job(tiny_job()))
    sandbox.wait_for(lambda: any("gcs_server" in line for line in sandbox.processes().values()))
    command.interrupt()
    assert command.finish().code == 128 + signal.SIGINT
    assert not list(sandbox.runs.glob("r-*"))
