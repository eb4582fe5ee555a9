"""What drivers of runs and of sweeps share: taking the next attempt, and Ray in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from resnet_cluster.errors import RunTakenError
from resnet_cluster.results import (
    AttemptStarted,
    EventLog,
    last_attempt,
    note_lost_owner,
    own_identity,
    own_name,
)
from resnet_cluster.results.sweeps import PREFIX


def claim_attempt(run_dir: Path, address: str | None) -> int:
    """Take the next attempt; its first event is the lock.

    Args:
        run_dir: the folder of the run or sweep.
        address: of the Ray cluster; None for an embedded one.

    Returns:
        Its number, from 1.

    Raises:
        RunTakenError: another process drives it.
    """
    events = EventLog(run_dir)
    number = last_attempt(events) + 1
    started = AttemptStarted(
        attempt=number, owner=own_name(), identity=own_identity(), address=address
    )
    if not _is_free(events, number) or not events.record(started):
        raise RunTakenError(
            f"another process has just begun to drive {run_dir.name}",
            mend=f"follow it with `resnet-cluster {_follows(run_dir)} {run_dir.name}`",
        )
    return number


def fit_in_thread(
    fit: Callable[[], object], name: str, on_failure: Callable[[BaseException], None]
) -> threading.Thread:
    """Ray's `fit` at work, in a thread: in the main one it would take over Ctrl-C.

    Args:
        fit: of a trainer or a tuner.
        name: of the thread.
        on_failure: called, in the thread, with what it raises.
    """

    def run() -> None:
        try:
            fit()
        except BaseException as error:
            on_failure(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def _follows(run_dir: Path) -> str:
    return "wait" if run_dir.name.startswith(PREFIX) else "logs -f"


def _is_free(events: EventLog, number: int) -> bool:
    """Whether the attempt before this one is over: another process may have been quicker."""
    note_lost_owner(events.run_dir)
    before = number - 1
    return before == 0 or f"attempt-{before:03d}-ended" in events.names()
