"""Where output goes and what it is made of, on pipes, files and terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import make_job, make_run_record, record_run
from sandbox import PROGRAM, Sandbox
from terminal import on_terminal

from resnet_cluster.results import AttemptStarted, AttemptTraining, EventLog, own_identity

COMMANDS = """
import sys
from resnet_cluster.cli import main
for argv in {argvs!r}:
    sys.argv = ["resnet-cluster", *argv]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == {code}, (argv, ended.code)
"""
SHOWN = [
    ["list"],
    ["status", "r-0001"],
    ["logs", "r-0001"],
    ["report"],
    ["report", "--format", "md"],
    ["data", "list"],
    ["data", "info", "digits"],
]


@pytest.fixture(scope="module")
def sandbox(prepared_digits: Path) -> Iterator[Sandbox]:
    """A user with a data set and a run."""
    with Sandbox() as sandbox:
        sandbox.environment["RESNET_CLUSTER_DATA"] = str(prepared_digits)
        record_run(sandbox.runs, make_run_record(make_job(), run_id="r-0001"), top1_err=8.75)
        yield sandbox


def _source(argvs: list[list[str]], *, code: int = 0) -> str:
    return COMMANDS.format(argvs=argvs, code=code)


def test_results_on_a_pipe_are_alone_and_plain(sandbox: Sandbox) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", _source(SHOWN)],
        env=sandbox.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert shown.stderr == ""
    assert "\x1b" not in shown.stdout
    assert shown.stdout.count("r-0001") >= 2


def test_no_color_is_heeded_on_a_terminal(sandbox: Sandbox) -> None:
    failing = _source([["status", "nothing"]], code=102)
    for program in (_source(SHOWN), failing):
        environment = sandbox.environment | {"TERM": "xterm-256color", "NO_COLOR": "1"}
        assert "\x1b" not in on_terminal(program, environment=environment)


def test_a_terminal_gets_colours(sandbox: Sandbox) -> None:
    environment = sandbox.environment | {"TERM": "xterm-256color"}
    assert "\x1b[" in on_terminal(_source([["report"]]), environment=environment)


@pytest.mark.parametrize(
    "argv", [["list"], ["report"], ["report", "-o", "json"], ["--help"]], ids=" ".join
)
def test_a_reader_who_leaves_is_not_an_error_to_tell_of(argv: list[str], sandbox: Sandbox) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        left = subprocess.run(
            [PROGRAM, *argv],
            env=sandbox.environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (left.returncode, left.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_were_closed_before_the_start(closed: str, sandbox: Sandbox) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" list {closed}', str(PROGRAM)],
        env=sandbox.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_cannot_be_written(sandbox: Sandbox) -> None:
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(
            [PROGRAM, "list"],
            env=sandbox.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert failed.returncode == 3
    assert failed.stderr.startswith("error: ")
    assert "Traceback" not in failed.stderr


def test_ctrl_c_leaves_a_run_alone_that_is_only_followed(sandbox: Sandbox) -> None:
    log = EventLog(sandbox.runs / "r-alive")
    log.record(make_run_record(make_job({"name": "alive"}), run_id="r-alive"))
    log.record(AttemptStarted(attempt=1, owner="this test", identity=own_identity()))
    log.record(AttemptTraining(attempt=1, world_size=2, device="H100", first_step=0))
    follower = sandbox.start("logs", "-f", "r-alive")
    sandbox.wait_for(lambda: "H100" in follower.out)
    follower.interrupt()
    left = follower.finish()
    assert (left.code, left.err) == (128 + signal.SIGINT, "")
    assert "attempt-001-ended" not in log.names()
