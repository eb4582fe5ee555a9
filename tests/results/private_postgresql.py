"""A private PostgreSQL server for tests, talked to through its own client programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_DEADLINE_S = 60


@dataclass(frozen=True)
class PostgreSQL:
    """A running server, reached through the socket in `folder`."""

    programs: Path
    folder: Path

    def create_database(self) -> str:
        """Make an empty database; returns its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.call("createdb", name)
        return name

    def call(self, program: str, *arguments: str, script: str = "") -> str:
        """Run one of its client programs; returns what that printed."""
        place = ("-h", str(self.folder), "-U", "tester")
        command = [str(self.programs / program), *place, *arguments]
        done = subprocess.run(
            command, input=script, check=True, timeout=_DEADLINE_S, capture_output=True, text=True
        )
        return done.stdout


@contextlib.contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A server that lives as long as the block; skips the test where there are no programs."""
    with _server(_programs()) as server:
        yield server


def _programs() -> Path:
    for candidate in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (candidate / "initdb").exists():
            return candidate
    found = shutil.which("initdb")
    if found is None:
        pytest.skip("PostgreSQL's server is not installed (Debian's package: postgresql)")
    return Path(found).parent


@contextlib.contextmanager
def _server(programs: Path) -> Iterator[PostgreSQL]:
    # A socket's path is at most 107 bytes long, and another user must reach it: not in tmp_path.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    # Its shared memory in files of its own: in /dev/shm, other tests would take it for a leftover,
    # where the server is another user's, whose use of memory cannot be seen.
    memory = "-c dynamic_shared_memory_type=mmap"
    options = f"-k {folder} -c listen_addresses='' -c fsync=off {memory}"

    def call(*command: str | Path) -> None:
        subprocess.run(
            command, check=True, timeout=_DEADLINE_S, user=user, cwd=folder, capture_output=True
        )

    try:
        call(programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync")
        log = folder / "log"
        call(programs / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        try:
            yield PostgreSQL(programs, folder)
        finally:
            call(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
