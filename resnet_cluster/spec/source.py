"""Where each value of a job was said, so that whoever refuses it can name the place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resnet_cluster.errors import JobError, UsageError
from resnet_cluster.spec.scalars import Scalar

Value = Scalar | list["Value"] | dict[str, "Value"]
"""What a job file can hold."""

KeyPath = tuple[str | int, ...]
"""Keys from the top of a job down to a value; a number is a place in a list."""


@dataclass(frozen=True)
class JobSource:
    """The places of a job's values: `jobs/x.yaml:12`, `--set train.lr=0.2` or `--workers 3`.

    One without places is right too: that of a job that was not read from a file.
    """

    places: Mapping[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """The place of a value, or else of what is around it; empty where nothing is known."""
        for length in range(len(path), -1, -1):
            if place := self.places.get(path[:length]):
                return place
        return ""

    def error(self, key: str, message: str, *, mend: str) -> JobError:
        """An error about the value of a dotted key, to be raised."""
        return JobError(message, where=self.where(key_path(key)), mend=mend)

    @contextlib.contextmanager
    def blamed(self, key: str) -> Iterator[None]:
        """Give the usage errors of the block the place of a dotted key.

        Raises:
            JobError: in place of any other UsageError.
        """
        try:
            yield
        except JobError:
            raise
        except UsageError as error:
            raise self.error(key, error.message, mend=error.mend) from error


def key_path(dotted: str) -> KeyPath:
    """`train.schedule.milestones.0` as keys; none for the empty text."""
    parts = dotted.split(".") if dotted else []
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def dotted_key(path: KeyPath) -> str:
    """Keys as a user writes them, with a place in a list in brackets and odd characters escaped."""
    dotted = ""
    for part in path:
        dotted += f"[{part}]" if isinstance(part, int) else f".{part}"
    return printable(dotted.removeprefix("."))


def flattened(section: Mapping[str, Any], around: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of all that is no section, as they stand in a resolved job."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{around}{key}.")
        else:
            yield f"{around}{key}", value


def printable(text: str, limit: int = 80) -> str:
    """`text` on one line, as safe on a terminal as in a log, and no longer than `limit`."""
    clipped = text if len(text) <= limit else text[: limit - 3] + "..."
    if clipped.isprintable():
        return clipped
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in clipped)
