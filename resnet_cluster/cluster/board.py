"""The actor that holds a training's latest progress; its process imports nothing but this."""

from __future__ import annotations

from typing import Any


class Board:
    """Holds what was posted last."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] | None = None

    def post(self, progress: dict[str, Any]) -> None:
        """Put a progress in the place of the one before."""
        self._latest = progress

    def latest(self) -> dict[str, Any] | None:
        """What was posted last; None where nothing was."""
        return self._latest
