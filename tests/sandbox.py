"""A user of the tool with a home of their own, and real commands that cannot outlive it.

    with Sandbox() as sandbox:
        result = sandbox.run("submit", "job.yaml")
        assert result.code == 0

All that is started in it carries RESNET_CLUSTER_HOME in its environment: by that it is found, and
nothing else on the machine is ever touched. (Ray's agents write their titles over it: those have
their logs open in the sandbox.) Leaving the block fails where anything is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PROGRAM = Path(sys.executable).with_name("resnet-cluster")
DEADLINE_S = 120.0
"""For a command: some ten times what the slowest takes on an idle machine of two cores."""
SEGMENT_DEADLINE_S = 5.0
END_DEADLINE_S = 90.0
"""For processes to be gone, once what they belong to has ended: the agents of a Ray node that was
killed call for its head for a minute."""
POLL_S = 0.05

_OURS = ("RESNET_CLUSTER_", "RAY_")
_TERMINAL = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "TTY_COMPATIBLE")


@dataclass(frozen=True)
class Result:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


class Sandbox:
    """Folders, an environment, and the processes started in it; use it as a context manager."""

    def __init__(self) -> None:
        # Short, since Ray's sockets are in it.
        self.folder = Path(tempfile.mkdtemp(prefix="rc", dir="/tmp"))
        self.home = self.folder / "home"
        self.runs = self.home / "runs"
        self.environment = self._environment()
        self._segments = _shared_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            left = [] if kind else self._left_over()
        finally:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, f"left behind: {left}"

    def run(self, *argv: str | Path, timeout_s: float = DEADLINE_S) -> Result:
        """Run a command to its end; its process group is killed at the deadline."""
        return self.start(*argv).finish(timeout_s=timeout_s)

    def start(self, *argv: str | Path, program: Path = PROGRAM) -> Command:
        """Start a command in a session of its own."""
        return Command(self, [str(program), *map(str, argv)])

    def processes(self) -> dict[int, str]:
        """Pid and command line of each process of this sandbox that is not a zombie."""
        mark = f"RESNET_CLUSTER_HOME={self.home}\0".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                if mark in (folder / "environ").read_bytes() or (
                    line.startswith(b"ray::") and self._is_open_in(folder / "fd")
                ):
                    found[int(folder.name)] = line.decode(errors="replace").strip()
        return found

    def _is_open_in(self, descriptors: Path) -> bool:
        """Whether a process has a file of this sandbox open."""
        for each in descriptors.iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                if os.readlink(each).startswith(f"{self.folder}/"):
                    return True
        return False

    def kill(self) -> None:
        """End every process of this sandbox."""
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)

    def wait_for(self, what: Callable[[], Any], *, timeout_s: float = DEADLINE_S) -> Any:
        """The first true value of `what`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if value := what():
                return value
            time.sleep(POLL_S)
        raise AssertionError(f"not within {timeout_s} s")

    def write_job(self, content: dict[str, Any], name: str = "job.yaml") -> Path:
        """A job file; JSON is YAML."""
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_OURS) and name not in _TERMINAL
        }
        for name in ("home", "user", "tmp"):
            (self.folder / name).mkdir()
        return inherited | {
            "HOME": str(self.folder / "user"),
            "TMPDIR": str(self.folder / "tmp"),
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RESNET_CLUSTER_HOME": str(self.home),
        }

    def wait_for_the_end(self) -> None:
        """Wait until nothing that was started here is left."""
        deadline = time.monotonic() + END_DEADLINE_S
        while left := self.processes():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(POLL_S)

    def _left_over(self) -> list[str]:
        self.wait_for_the_end()
        left = [path.name for path in (self.folder / "tmp").glob("resnet-cluster-*")]
        return left + sorted(self._segments_left())

    def _segments_left(self) -> set[str]:
        """Segments that nobody uses; what another test's server has just made, or is about to
        remove, is not seen twice."""
        left = _shared_memory() - self._segments - _mapped_segments()
        deadline = time.monotonic() + SEGMENT_DEADLINE_S
        while left and time.monotonic() < deadline:
            time.sleep(POLL_S)
            left &= _shared_memory() - _mapped_segments()
        return left


class Command:
    """A command under way; its output is in files, so that it never waits for a reader."""

    def __init__(self, sandbox: Sandbox, argv: list[str]) -> None:
        self.sandbox = sandbox
        self._folder = Path(tempfile.mkdtemp(dir=sandbox.folder, prefix="out"))
        with (self._folder / "out").open("w") as out, (self._folder / "err").open("w") as err:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=sandbox.environment,
                cwd=sandbox.folder,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it has printed to stdout."""
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        """What it has printed to stderr."""
        return (self._folder / "err").read_text()

    def interrupt(self) -> None:
        """What a terminal does at Ctrl-C: SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self, *, timeout_s: float = DEADLINE_S) -> Result:
        """Wait for its end; at the deadline its process group is killed, and that is a failure."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"not within {timeout_s} s: {self.out}\n{self.err}") from None
        return Result(code, self.out, self.err)


def _shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def _mapped_segments() -> set[str]:
    """Segments that some process of the machine uses: somebody else's."""
    names: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            lines = maps.read_text(errors="replace").splitlines()
            names |= {line.rpartition("/")[2] for line in lines if "/dev/shm/" in line}
    return names


@contextlib.contextmanager
def killed_afterwards(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """A process of a test's own that is surely gone, and no zombie, after the block."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
