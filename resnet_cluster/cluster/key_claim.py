"""Which run has an experiment: a file for each key in the folder of runs.

Whoever begins a run writes it, under the lock of that folder. So a trial, which asks no database,
sees that another sweep or `submit` has begun the same experiment since its sweep was planned.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from resnet_cluster.files import write_whole

FOLDER_NAME = ".keys"


@contextlib.contextmanager
def alone(runs_root: Path) -> Iterator[None]:
    """One process at a time looks for a run and creates it."""
    runs_root.mkdir(parents=True, exist_ok=True)
    with (runs_root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def claim_key(runs_root: Path, key: str, run_id: str) -> str:
    """Take an experiment that no run has; to be called under the lock.

    Returns:
        The run that has it: `run_id`, or one that was begun before and is still there.
    """
    other = key_owner(runs_root, key)
    if other is None:
        give_key(runs_root, key, run_id)
    return other or run_id


def give_key(runs_root: Path, key: str, run_id: str) -> None:
    """Note which run has an experiment, whichever had it before."""
    write_whole(_path(runs_root, key), run_id.encode())


def key_owner(runs_root: Path, key: str) -> str | None:
    """The run that has an experiment; None where there is none, or its folder is gone."""
    try:
        run_id = _path(runs_root, key).read_text()
    except FileNotFoundError:
        return None
    return run_id if run_id and (runs_root / run_id / "events").is_dir() else None


def _path(runs_root: Path, key: str) -> Path:
    return runs_root / FOLDER_NAME / key
