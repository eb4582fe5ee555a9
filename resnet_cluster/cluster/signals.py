"""Ctrl-C and SIGTERM ask a driver to stop; Ray's own handlers would end the workers at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Protocol


class StopSource(Protocol):
    """Says how often a driver has been asked to stop."""

    @property
    def times(self) -> int:
        """Once: checkpoint and end. Twice: end now."""


@dataclass
class StopRequest:
    """What signals have asked of the driver."""

    times: int = 0
    """Once: checkpoint and end. Twice: end now."""
    signal: int | None = None
    """The first signal that asked."""

    def heed(self) -> None:
        """End this process as the signal would have ended it, where one has come.

        Raises:
            KeyboardInterrupt: it was Ctrl-C.
            SystemExit: it was another.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)


@contextlib.contextmanager
def signals_to(stop: StopRequest, *, at_most: int | None = None) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into requests.

    While Ray starts its processes nothing may be raised in between: Python drops an exception that
    meets it at a fork, and leaves the lock of its logging taken, for which Ray would wait for ever.

    Args:
        stop: where they are counted.
        at_most: so many signals are counted; the next one is heeded at once.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.times += 1
        stop.signal = stop.signal or number
        if at_most is not None and stop.times > at_most:
            stop.heed()

    kinds = (signal.SIGINT, signal.SIGTERM)
    previous = {kind: signal.signal(kind, on_signal) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
