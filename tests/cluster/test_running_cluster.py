"""Runs on a Ray cluster that somebody else has started, and that outlives their commands."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_calls import assert_refused
from sandbox import PROGRAM, Sandbox
from tiny_runs import (
    EPOCHS,
    assert_same_weights,
    events,
    only_run,
    tiny_job,
    wait_until_mid_epoch,
    worker_pids,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

RAY = PROGRAM.with_name("ray")
DISK_BYTES = 8_000_000


@dataclass(frozen=True)
class RunningCluster:
    """A cluster of two cores, and a user of it."""

    sandbox: Sandbox
    address: str


@pytest.fixture(scope="module")
def cluster(digits: Path) -> Iterator[RunningCluster]:
    """A head node that asks for a token."""
    with Sandbox() as sandbox:
        sandbox.environment["RESNET_CLUSTER_DATA"] = str(digits)
        _write_token(sandbox)
        port, dashboard_port = _free_port(), _free_port()
        head = sandbox.start(
            "start",
            "--head",
            "--block",
            "--num-cpus=2",
            "--node-ip-address=127.0.0.1",
            f"--port={port}",
            f"--dashboard-port={dashboard_port}",
            f"--dashboard-agent-listen-port={_free_port()}",  # embedded clusters take the default
            f"--temp-dir={sandbox.folder / 'ray'}",
            program=RAY,
        )
        sandbox.wait_for(lambda: "Ray runtime started" in head.out or head.process.poll())
        assert head.process.poll() is None, head.out + head.err
        yield RunningCluster(sandbox, f"127.0.0.1:{port}")
        # Asked to end, a head that has run jobs takes half a minute, and nothing of ours is in it.
        sandbox.kill()
        head.finish()


@pytest.fixture
def small_disk(cluster: RunningCluster) -> Iterator[Path]:
    """A folder of runs that some megabytes fill."""
    folder = cluster.sandbox.folder / "disk"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here, so no disk can be filled")
    yield folder
    # The last driver closes its log a moment after its run has ended.
    unmount = ["umount", str(folder)]
    cluster.sandbox.wait_for(lambda: subprocess.run(unmount, check=False).returncode == 0)


def test_more_workers_than_the_cluster_has_are_refused(cluster: RunningCluster) -> None:
    sandbox = cluster.sandbox
    job = sandbox.write_job(tiny_job({"name": "large", "resources.workers": 4}), "large.yaml")
    refused = sandbox.run("submit", job, "--address", cluster.address)
    assert (refused.code, refused.out) == (3, "")
    assert cluster.address in refused.err
    assert "add `--workers 2`" in refused.err
    assert sandbox.run("list", "-o", "json").json() == []


def test_a_detached_run_loses_a_worker_goes_on_and_is_stopped(cluster: RunningCluster) -> None:
    sandbox, address = cluster.sandbox, ["--address", cluster.address]
    # So long that it does not end while a command to stop it starts.
    job = sandbox.write_job(tiny_job({"train.epochs": 30}))
    submitted = sandbox.run("submit", job, "-d", *address)
    run_dir = only_run(sandbox)
    assert (submitted.code, submitted.out) == (0, f"{run_dir.name}\n"), submitted.err
    waiting = sandbox.start("wait", "tiny")
    wait_until_mid_epoch(sandbox, waiting)
    os.kill(worker_pids(sandbox)[-1], signal.SIGKILL)
    assert waiting.finish().code == 100
    failed = sandbox.run("status", "tiny", "-o", "json").json()
    assert failed["state"] == "FAILED"
    assert failed["message"].startswith("worker "), failed

    assert sandbox.run("resume", "tiny", "-d", *address).code == 0
    follower = sandbox.start("logs", "-f", "tiny", "-o", "json")
    wait_until_mid_epoch(sandbox, follower, attempt=2)
    stopped = sandbox.run("stop", "tiny")
    assert (stopped.code, "CANCELLED" in stopped.err) == (0, True)
    followed = follower.finish()
    assert followed.code == 103
    assert '"attempt": 2' in followed.out
    assert sandbox.run("wait", "tiny").code == 103


def test_a_detached_sweep_is_stopped_and_goes_on(cluster: RunningCluster, reference: Path) -> None:
    """Its trials have two workers each: one that is ended leaves nothing that holds their cores."""
    sandbox, address = cluster.sandbox, ["--address", cluster.address]
    before = set(sandbox.runs.glob("r-*"))
    job = sandbox.write_job(tiny_job({"name": "swept"}), "swept.yaml")
    words = ("ablate", job, "--depths", "8,14", *address)
    submitted = sandbox.run(*words, "-d")
    (sweep_dir,) = sandbox.runs.glob("s-*")
    assert (submitted.code, submitted.out) == (0, f"{sweep_dir.name}\n"), submitted.err
    assert_refused(sandbox.run(*words, "-d"), 2, "swept_sweep", "is running already")

    def an_epoch() -> bool:
        new = set(sandbox.runs.glob("r-*")) - before
        return any(list(run.glob("events/epoch-*")) for run in new)

    sandbox.wait_for(an_epoch)
    stopped = sandbox.run("stop", "swept_sweep")
    assert (stopped.code, "CANCELLED" in stopped.err) == (0, True), stopped.err
    assert sandbox.run("wait", "swept_sweep").code == 103
    assert sandbox.run(*words, "-d").code == 0
    assert sandbox.run("wait", "swept_sweep").code == 0
    trials = sandbox.run("status", "swept_sweep", "-o", "json").json()["trials"]
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 2
    (shallow,) = (trial for trial in trials if trial["point"] == {"model.depth": 8})
    assert_same_weights(sandbox.runs / shallow["run_id"], reference)


def test_a_full_disk_fails_the_run_and_costs_nothing_but_time(
    cluster: RunningCluster, small_disk: Path, reference: Path
) -> None:
    sandbox, address = cluster.sandbox, ["--address", cluster.address]
    with _runs_in(sandbox, small_disk):
        command = sandbox.start("submit", sandbox.write_job(tiny_job()), *address)
        run_dir = wait_until_mid_epoch(sandbox, command)
        _fill(small_disk / "filler")
        failed = command.finish()
        assert failed.code == 100, failed.err
        assert f"no space is left on {run_dir}" in failed.err
        assert "resume" in failed.err
        status = sandbox.run("status", "tiny", "-o", "json").json()
        assert (status["state"], status["folder"]) == ("FAILED", str(run_dir))

        (small_disk / "filler").unlink()
        resumed = sandbox.run("resume", "tiny", "-d", *address)
        assert (resumed.code, resumed.out) == (0, f"{run_dir.name}\n"), resumed.err
        assert sandbox.run("wait", "tiny").code == 0
        assert events(run_dir)["attempt-002-training"]["first_step"] > 0
        assert [name for name in events(run_dir) if name.startswith("epoch")] == EPOCHS
        assert_same_weights(run_dir, reference)


@contextlib.contextmanager
def _runs_in(sandbox: Sandbox, folder: Path) -> Iterator[None]:
    """The user keeps runs in another folder, and their index with them."""
    before = sandbox.runs, dict(sandbox.environment)
    sandbox.runs = folder
    sandbox.environment["RESNET_CLUSTER_RUNS"] = str(folder)
    sandbox.environment["RESNET_CLUSTER_STORE"] = f"sqlite:///{sandbox.folder / 'other.db'}"
    try:
        yield
    finally:
        sandbox.runs, sandbox.environment = before


def _fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def _write_token(sandbox: Sandbox) -> None:
    path = sandbox.folder / "user" / ".ray" / "auth_token"
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
