"""The actor that holds the latest progress of trainings; its process imports nothing but this."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Board:
    """Holds what was posted last by each run, and the placement groups of its workers."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, list[str]] = defaultdict(list)

    def post(self, key: str, progress: dict[str, Any]) -> None:
        """Put a progress in the place of the one before."""
        self._latest[key] = progress

    def latest(self) -> dict[str, dict[str, Any]]:
        """What each has posted last."""
        return self._latest

    def note_group(self, key: str, group: str) -> None:
        """Keep the id of a placement group."""
        self._groups[key].append(group)

    def take_groups(self, key: str) -> list[str]:
        """The ids that were kept of a run, once."""
        return self._groups.pop(key, [])
