"""The truth about a run: immutable events, one fsynced file each under `<run>/events/`.

Whoever writes a fact first has written it: an event that exists is never replaced. So an epoch is
recorded once whatever crashes, and a run ends in one state however many processes notice its end.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from pydantic import ValidationError

from resnet_cluster.errors import IntegrityError
from resnet_cluster.files import create_whole, write_whole
from resnet_cluster.results.base import SCHEMA_VERSION, Record
from resnet_cluster.results.records import RECORD, AnyRecord

_BALLAST_BYTES = 256 * 1024


class EventLog:
    """The events of one run.

    Args:
        run_dir: the run's folder; `events/` is made in it when the first event is recorded.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.folder = run_dir / "events"

    def record(self, record: Record) -> bool:
        """Write an event; False where it had been written before.

        Raises:
            OSError: the storage cannot be written.
        """
        path = self.folder / f"{record.event_name}.json"
        content = record.model_dump_json(indent=1).encode() + b"\n"
        try:
            return create_whole(path, content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._drop_ballast():
                raise
            return create_whole(path, content)

    def reserve_space(self) -> None:
        """Keep room on the disk, so that a run which fills it can still say so."""
        write_whole(self._ballast, b"\0" * _BALLAST_BYTES)

    def release_space(self) -> None:
        """Give that room back."""
        self._ballast.unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Names of the events there are, sorted; none where the run has no folder of events.

        Raises:
            OSError: the folder cannot be read, which is not the same as having no events.
        """
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(
            name.removesuffix(".json")
            for name in names
            if name.endswith(".json") and not name.startswith(".")
        )

    def read(
        self,
        *,
        known: Collection[str] = (),
        on_damaged: Callable[[str, IntegrityError], None] | None = None,
    ) -> Iterator[tuple[str, AnyRecord]]:
        """Name and record of each event in the order of time, less those that are `known`.

        Args:
            known: names of events that are not wanted again.
            on_damaged: called with the name of an event that cannot be read, and why; None raises.

        Raises:
            IntegrityError: an event is not what any version of this tool writes.
        """
        events = []
        for name in self.names():
            if name in known:
                continue
            try:
                events.append((name, self.load(name)))
            except IntegrityError as error:
                if on_damaged is None:
                    raise
                on_damaged(name, error)
        yield from sorted(events, key=lambda event: event[1].at)

    def load(self, name: str) -> AnyRecord:
        """The event of that name.

        Raises:
            IntegrityError: it is absent or not what any version of this tool writes.
        """
        path = self.folder / f"{name}.json"
        try:
            content = json.loads(path.read_bytes())
            record = RECORD.validate_python(content, strict=False)
        except ValidationError as error:
            if _is_newer(content):
                raise IntegrityError(
                    f"{path}: written by a later version of this tool",
                    mend="upgrade resnet-cluster",
                ) from error
            raise _unreadable(path, type(error).__name__) from error
        except (OSError, ValueError, RecursionError) as error:
            raise _unreadable(path, type(error).__name__) from error
        if record.event_name != name:
            raise _unreadable(path, f"it is a copy of {record.event_name}.json")
        return record

    @property
    def _ballast(self) -> Path:
        return self.run_dir / ".ballast"

    def _drop_ballast(self) -> bool:
        if not self._ballast.exists():
            return False
        self._ballast.unlink()
        return True


def _is_newer(content: object) -> bool:
    version = content.get("schema_version") if isinstance(content, dict) else None
    return isinstance(version, int) and version > SCHEMA_VERSION


def _unreadable(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: not an event of this tool ({why})",
        mend="restore the file, or remove the run with `resnet-cluster rm`",
    )
