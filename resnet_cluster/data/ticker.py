"""Signs of life of work that takes time, as progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from resnet_cluster.data.request import Progress

TICK_S = 0.2


class Ticker:
    """Turns signs of life into progress, at most one every TICK_S of a stage."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        self._tell = tell
        self._stage, self._told_s = "", 0.0
        self._began_s = self._last_s = time.monotonic()

    def tick(self, stage: str, done: int, total: int, current: str = "") -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began_s, self._told_s = stage, self._last_s, 0.0
        self._last_s = now
        if now - self._told_s >= TICK_S or done == total:
            self._told_s = now
            self._tell(Progress(stage, done, total, now - self._began_s, current))
