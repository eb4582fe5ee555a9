"""Who drives an attempt, and whether that process is still there.

On the machine where it runs, a process is looked up and its absence is certain at once. From
elsewhere (another machine, another container on the same storage) only its heartbeat can be seen.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from resnet_cluster.errors import IntegrityError
from resnet_cluster.results.events import EventLog
from resnet_cluster.results.records import AttemptEnded, AttemptStarted, RunState

HEARTBEAT_S = 5.0
SILENCE_S = 60.0
"""Age of the last heartbeat at which an owner elsewhere is taken for dead."""


def own_identity() -> str:
    """This process, told from any other on any machine: host, boot, namespace, pid, start."""
    return _identity(os.getpid())


def own_name() -> str:
    """`host:pid` of this process, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Heartbeat:
    """Shows owners elsewhere that this process is alive, from a thread, until it is closed.

    Args:
        run_dir: the run's folder.
        attempt: the attempt that this process drives.
    """

    def __init__(self, run_dir: Path, attempt: int) -> None:
        self._path = heartbeat_path(run_dir, attempt)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and take the trace away."""
        self._closed.set()
        self._thread.join(timeout=HEARTBEAT_S)
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(OSError):  # a full disk is the run's to report
                self._path.touch()
            self._closed.wait(HEARTBEAT_S)


def heartbeat_path(run_dir: Path, attempt: int) -> Path:
    """The file whose age is that of the last heartbeat."""
    return run_dir / f".heartbeat-{attempt:03d}"


def is_owner_alive(run_dir: Path, started: AttemptStarted) -> bool:
    """Whether the process that drives an attempt is there."""
    place, _, process = started.identity.rpartition("|")
    own_place, _, _ = own_identity().rpartition("|")
    if place == own_place:
        return _is_running(process)
    try:
        last = heartbeat_path(run_dir, started.attempt).stat().st_mtime
    except OSError:
        last = started.at.timestamp()
    return time.time() - last < SILENCE_S


def note_lost_owner(run_dir: Path) -> bool:
    """Record LOST where a run's last attempt has no end and no owner; whether that was so."""
    log = EventLog(run_dir)
    attempt = last_attempt(log)
    if attempt == 0 or f"attempt-{attempt:03d}-ended" in log.names():
        return False
    try:
        started = log.load(f"attempt-{attempt:03d}-started")
    except IntegrityError:
        # Who drives it cannot be read any more, only whether somebody's heart still beats.
        long_ago = datetime.fromtimestamp(0, UTC)
        started = AttemptStarted(attempt=attempt, owner="unknown", at=long_ago)
    assert isinstance(started, AttemptStarted)
    if is_owner_alive(run_dir, started):
        return False
    message = f"the process that drove it ({started.owner}) is gone"
    return log.record(AttemptEnded(attempt=attempt, state=RunState.LOST, message=message))


def last_attempt(log: EventLog) -> int:
    """Number of the last attempt; 0 where there is none."""
    started = [name for name in log.names() if name.endswith("-started")]
    return max((int(name.split("-")[1]) for name in started), default=0)


def _identity(pid: int) -> str:
    """`host/boot/namespace|pid@start`, the start in the kernel's clock ticks since boot."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{boot}/{namespace}|{pid}@{_start_ticks(pid)}"


def _is_running(process: str) -> bool:
    pid = int(process.partition("@")[0] or 0)
    try:
        state = _stat(pid)[0]
        return state not in "ZX" and f"{pid}@{_start_ticks(pid)}" == process
    except OSError:
        return False


def _start_ticks(pid: int) -> str:
    return _stat(pid)[19]


def _stat(pid: int) -> list[str]:
    """Fields of proc(5)'s stat from the third (the state) on."""
    # The command name before them may hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
