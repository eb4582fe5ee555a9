"""What a worker prints, in Python or below it: a file of the run has it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ray.train.v2._internal.execution import context as ray_context

_TURN = threading.Lock()
_OPEN: list[Path] = []
"""The files of the runs that this process trains now: one, but where it trains a pack."""
_KEPT: list[int] = []
"""Where the process printed before."""


@contextlib.contextmanager
def output_in(log: Path) -> Iterator[None]:
    """Send what this process prints, in Python or below it, to a file of the run.

    A process prints into one place: of runs that are trained side by side each has the same file.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with _TURN:
        if not _OPEN:
            _KEPT.extend(_redirected(log))
        elif not log.exists():
            _share(_OPEN[0], log)
        _OPEN.append(log)
    try:
        yield
    finally:
        with _TURN:
            _OPEN.remove(log)
            if not _OPEN:
                _restore()


def _redirected(log: Path) -> tuple[int, int]:
    kept = os.dup(1), os.dup(2)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
    )
    # Ray repeats each epoch's metrics at length; the run's events tell them.
    ray_context.logger.setLevel(logging.WARNING)
    return kept


def _share(log: Path, other: Path) -> None:
    try:
        os.link(log, other)
    except OSError:  # a file system without such links
        other.write_text(f"printed into {log}\n")


def _restore() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for place in (2, 1):
        kept = _KEPT.pop()
        os.dup2(kept, place)
        os.close(kept)
