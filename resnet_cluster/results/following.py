"""Follow a run that another process drives, by its events."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from resnet_cluster.errors import IntegrityError, RunLostError, WaitTimeoutError
from resnet_cluster.results.base import now
from resnet_cluster.results.events import EventLog
from resnet_cluster.results.ownership import last_attempt, note_lost_owner
from resnet_cluster.results.records import AnyRecord, AttemptEnded

POLL_S = 0.3
BEGIN_DEADLINE = timedelta(minutes=10)
"""Between a run's creation and its first attempt, which on a busy cluster is queued."""


def follow(
    run_dir: Path,
    *,
    tell: Callable[[AnyRecord | str], None] = lambda news: None,
    deadline: float | None = None,
) -> AttemptEnded:
    """Pass on a run's events, those that there are first, until its last attempt has ended.

    Args:
        run_dir: the run's folder, or a sweep's.
        tell: called with each event, and with a sentence for one that is damaged.
        deadline: moment of `time.monotonic()` at which to give up; None waits as long as the
            run has an owner.

    Returns:
        The end of the last attempt; LOST where its owner is found to be gone.

    Raises:
        WaitTimeoutError: the deadline passed.
        RunLostError: no process ever began to drive the run.
        IntegrityError: the event that says how the run ended is damaged.
    """
    log = EventLog(run_dir)
    seen: set[str] = set()

    def on_damaged(name: str, error: IntegrityError) -> None:
        seen.add(name)
        tell(f"warning: {error.message}")

    while True:
        for name, record in log.read(known=seen, on_damaged=on_damaged):
            seen.add(name)
            tell(record)
        end = f"attempt-{last_attempt(log):03d}-ended"
        if end in seen:
            ended = log.load(end)
            assert isinstance(ended, AttemptEnded)
            return ended
        if deadline is not None and time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"{run_dir.name} had not ended when the wait was over",
                mend=f"wait again with `resnet-cluster wait {run_dir.name}`",
            )
        _check_begun(log)
        if not note_lost_owner(run_dir):
            time.sleep(POLL_S)


def _check_begun(log: EventLog) -> None:
    if last_attempt(log) == 0 and now() - _first(log).at > BEGIN_DEADLINE:
        raise RunLostError(
            f"{log.run_dir.name} was asked for and never began",
            mend="submit it again: the same command goes on with it",
        )


def _first(log: EventLog) -> AnyRecord:
    """What says that a run, or a sweep, was asked for."""
    return log.load("sweep" if "sweep" in log.names() else "run")
