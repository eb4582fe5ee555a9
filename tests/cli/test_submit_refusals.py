"""What is refused for the machine's, the cluster's or an earlier run's sake: before Ray starts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from cli_calls import Call, assert_refused
from prepared import prepare_few_digits
from sandbox import Sandbox
from tiny_runs import tiny_job

from resnet_cluster.cluster import launch
from resnet_cluster.errors import RunTakenError
from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    EventLog,
    RunRecord,
    RunState,
    own_identity,
)


@pytest.fixture
def job(tmp_path: Path, data_root: Path) -> Path:
    """A job that could run."""
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(tiny_job()))
    return path


@pytest.fixture
def runs(home: Path) -> Path:
    """The folder of runs."""
    return home / "runs"


def _record_run_of(job: Path, call: Call, runs: Path, state: RunState | None) -> EventLog:
    """A run of a job as another process has left it, or drives it."""
    plan = call("submit", job, "--dry-run", "-o", "json").json()
    facts = call("data", "info", "digits", "-o", "json").json()
    dataset = {
        "name": "digits",
        "sha256": facts["sha256"],
        "encoding": facts["encoding"],
        "source": "digits",
        "num_classes": 10,
        "image_size": facts["image_size"],
        "num_train_images": 200,
        "num_holdout_images": 0,
        "num_test_images": 40,
    }
    run = {
        "kind": "run",
        "run_id": "r-00000001",
        "name": plan["job"]["name"],
        "key": plan["key"],
        "job": plan["job"],
        "dataset": dataset,
        "num_parameters": plan["num_parameters"],
        "flops": plan["flops"],
        "num_steps": plan["num_steps"],
        "steps_per_epoch": plan["steps_per_epoch"],
        "command": "resnet-cluster submit job.yaml",
    }
    log = EventLog(runs / "r-00000001")
    log.record(RunRecord.model_validate(run))
    log.record(AttemptStarted(attempt=1, owner="this test", identity=own_identity()))
    if state is not None:
        log.record(AttemptEnded(attempt=1, state=state))
    return log


def test_a_run_that_another_submit_has_just_begun_is_followed(
    job: Path, call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outrun(*_: object) -> None:
        _record_run_of(job, call, runs, RunState.SUCCEEDED)
        raise RunTakenError("another process has just begun")

    monkeypatch.setattr(launch, "launch", outrun)
    followed = call("submit", job)
    assert followed.code == 0
    assert "another process drives tiny" in followed.err
    assert "SUCCEEDED" in followed.err


def test_a_name_that_is_not_needed_is_named(job: Path, call: Call, runs: Path) -> None:
    _record_run_of(job, call, runs, RunState.SUCCEEDED)
    again = call("submit", job, "--name", "other")
    assert (again.code, again.out) == (0, "r-00000001\n")
    assert "--name other is not needed: this experiment is tiny" in again.err


def test_a_dry_run_says_what_follows_from_the_job(job: Path, call: Call, home: Path) -> None:
    plan = call("submit", job, "--dry-run", "-o", "json").json()
    promised = {
        "schema_version",
        "job",
        "num_parameters",
        "flops",
        "global_batch_size",
        "batch_size_per_worker",
        "num_steps",
        "resources",
    }
    assert set(plan) >= promised
    assert (plan["global_batch_size"], plan["batch_size_per_worker"]) == (64, 32)
    assert plan["num_steps"] == 3 * (200 // 64)
    shown = call("submit", job, "--dry-run")
    assert plan["key"] in shown.out  # whole, however narrow the output
    assert plan["run_id"] is None
    assert not home.exists()


def test_a_dry_run_knows_the_run_that_there_is(job: Path, call: Call, runs: Path) -> None:
    _record_run_of(job, call, runs, RunState.SUCCEEDED)
    plan = call("submit", job, "--dry-run", "-o", "json").json()
    assert (plan["run_id"], plan["state"]) == ("r-00000001", "SUCCEEDED")
    assert "(r-00000001) is this experiment: SUCCEEDED" in call("submit", job, "--dry-run").err
    assert_refused(call("submit", job, "--seed", "9", "--dry-run"), 2, "belongs to r-00000001")
    again = call("submit", job, "--rerun", "--dry-run", "-o", "json").json()
    assert again["run_id"] is None


class TestMachine:
    def test_too_many_workers_are_refused_without_starting_ray(self, prepared_digits: Path) -> None:
        cores = len(os.sched_getaffinity(0))
        workers = cores + 1
        batch = {"train.global_batch_size": 16 * workers, "resources.workers": workers}
        with Sandbox() as sandbox:
            sandbox.environment["RESNET_CLUSTER_DATA"] = str(prepared_digits)
            refused = sandbox.run("submit", sandbox.write_job(tiny_job(batch)))
            assert_refused(refused, 3, f"{workers} CPU cores", f"add `--workers {cores}`")
            assert not (sandbox.folder / "ray").exists()
            assert not list(sandbox.runs.glob("r-*"))

    def test_a_gpu_where_there_is_none(self, job: Path, call: Call) -> None:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("this machine has one")
        refused = call("submit", job, "--set", "resources.gpu=yes")
        assert_refused(refused, 3, "GPU", "resources.gpu=no")

    def test_a_place_for_runs_that_cannot_be_made(
        self, job: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("RESNET_CLUSTER_RUNS", str(tmp_path / "file" / "runs"))
        assert_refused(call("submit", job), 3, str(tmp_path / "file"))


class TestAddress:
    def test_nothing_listens(self, job: Path, call: Call, runs: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        for extra in ([], ["-d"]):
            began = time.monotonic()
            refused = call("submit", job, "--address", address, *extra)
            assert time.monotonic() - began < 10
            assert_refused(refused, 4, address, "ray start --head")
        assert not list(runs.glob("r-*"))

    def test_something_else_listens(self, job: Path, call: Call, runs: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            began = time.monotonic()
            refused = call("submit", job, "--address", address)
        assert time.monotonic() - began < 15
        assert_refused(refused, 4, address)
        assert not list(runs.glob("r-*"))

    @pytest.mark.parametrize("address", ["..:80", "no-such-host.invalid:80", "127.0.0.1:99999"])
    def test_no_such_place(self, address: str, job: Path, call: Call) -> None:
        assert_refused(call("submit", job, "--address", address), 4, address)

    @pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "http://x", "127.0.0.1", "x:y"])
    def test_no_address_at_all(self, address: str, job: Path, call: Call) -> None:
        assert_refused(call("submit", job, "--address", address), 2, address, "127.0.0.1:6379")

    def test_the_environment_names_one_too(
        self, job: Path, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
        assert_refused(call("submit", job), 2, "ray://elsewhere:10001")

    def test_an_embedded_cluster_cannot_be_left_to_itself(
        self, job: Path, call: Call, runs: Path
    ) -> None:
        assert_refused(call("submit", job, "-d"), 2, "--address")
        assert not list(runs.glob("r-*"))


class TestEarlierRun:
    def test_one_that_succeeded_is_named(self, job: Path, call: Call, runs: Path) -> None:
        _record_run_of(job, call, runs, RunState.SUCCEEDED)
        for argv in (["submit", job], ["submit", job, "-d"], ["resume", "tiny"]):
            again = call(*argv)
            assert (again.code, again.out) == (0, "r-00000001\n")
            assert "tiny" in again.err

    def test_one_that_succeeded_needs_no_data_any_more(
        self, job: Path, call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        _record_run_of(job, call, runs, RunState.SUCCEEDED)
        monkeypatch.setenv("RESNET_CLUSTER_DATA", str(tmp_path / "nowhere"))
        assert call("resume", "tiny").code == 0

    def test_what_does_not_change_the_result_is_the_same_experiment(
        self, job: Path, call: Call, runs: Path
    ) -> None:
        _record_run_of(job, call, runs, RunState.SUCCEEDED)
        again = call("submit", job, "--workers", "1", "--name", "other")
        assert (again.code, again.out) == (0, "r-00000001\n")

    def test_one_that_diverged_is_not_tried_again(self, job: Path, call: Call, runs: Path) -> None:
        _record_run_of(job, call, runs, RunState.DIVERGED)
        assert_refused(call("submit", job), 104, "r-00000001", "--rerun")
        assert_refused(call("resume", "tiny"), 104, "r-00000001")

    def test_one_that_is_driven_is_left_to_its_driver(
        self, job: Path, call: Call, runs: Path
    ) -> None:
        log = _record_run_of(job, call, runs, None)
        left = call("submit", job, "-d", "--address", "127.0.0.1:1")
        assert (left.code, left.out) == (0, "r-00000001\n")
        assert log.names() == ["attempt-001-started", "run"]

    def test_a_name_that_another_experiment_has(self, job: Path, call: Call, runs: Path) -> None:
        _record_run_of(job, call, runs, RunState.CANCELLED)
        for change in (["--seed", "8"], ["--set", "train.lr=0.1"]):
            assert_refused(call("submit", job, *change), 2, "'tiny'", "r-00000001", "--name")
        assert [path.name for path in runs.glob("r-*")] == ["r-00000001"]

    def test_another_data_set_under_the_same_name(
        self,
        job: Path,
        call: Call,
        runs: Path,
        data_root: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        _record_run_of(job, call, runs, RunState.CANCELLED)
        monkeypatch.setenv("RESNET_CLUSTER_DATA", str(tmp_path / "other"))
        few = prepare_few_digits(tmp_path / "few", num_train=128, num_test=20)
        shutil.copytree(few, tmp_path / "other" / "digits")
        assert_refused(call("resume", "tiny"), 5, "digits", "tiny")
