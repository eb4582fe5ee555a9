"""Ctrl-C and SIGTERM ask a driver to stop; Ray's own handlers would end the workers at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """What signals have asked of the driver."""

    times: int = 0
    """Once: checkpoint and end. Twice: end now."""
    signal: int | None = None
    """The first signal that asked."""


@contextlib.contextmanager
def signals_to(stop: StopRequest) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into requests."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.times += 1
        stop.signal = stop.signal or number

    kinds = (signal.SIGINT, signal.SIGTERM)
    previous = {kind: signal.signal(kind, on_signal) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
