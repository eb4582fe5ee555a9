"""Runs a process that works for this one, listens to it, and ends it when it falls silent."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import IO, Any

from resnet_cluster.data.request import ConversionRequest, PreparationPlan, Progress
from resnet_cluster.errors import (
    IntegrityError,
    PreflightError,
    ResnetClusterError,
    UsageError,
)

STALL_DEADLINE_S = 120.0
EXIT_DEADLINE_S = 10.0
_ERRORS: dict[str, type[ResnetClusterError]] = {
    kind.__name__: kind for kind in (UsageError, PreflightError, IntegrityError)
}


def run_conversion(
    request: ConversionRequest,
    *,
    on_plan: Callable[[PreparationPlan], None],
    on_progress: Callable[[Progress], None],
    stall_s: float,
) -> None:
    """Convert in a process group of its own, which is gone when this returns or raises.

    Raises:
        UsageError, PreflightError, IntegrityError: what the conversion met.
        IntegrityError: it showed no sign of life for `stall_s` seconds.
        ResnetClusterError: it ended without a word, by a fault of ours.
    """
    child = Child("convert", "converting", stall_s)
    with contextlib.closing(child.events(request.as_json(), request.source)) as events:
        for kind, event in events:
            if kind == "Progress":
                child.current = event["current"] or child.current
                on_progress(Progress(**event))
            elif kind == "PreparationPlan":
                on_plan(PreparationPlan(**event))


@dataclass
class Child:
    """A module of this room in a process group of its own; see `child`.

    Attributes:
        module: its name.
        doing: what it does, for messages.
        stall_s: seconds without a sign of life after which it is ended.
        current: what it has at hand, for messages.
    """

    module: str
    doing: str
    stall_s: float
    current: str = ""

    def events(
        self, request: dict[str, Any], current: str
    ) -> Generator[tuple[str, dict[str, Any]], None, None]:
        """What it tells, until it is done; the process is gone at the end, or when this is closed.

        Raises:
            UsageError, PreflightError, IntegrityError: what it met.
            IntegrityError: it showed no sign of life.
            ResnetClusterError: it ended without a word, by a fault of ours.
        """
        self.current = current
        # No shell, no fork of this process (it may hold threads), and -P: the working folder, which
        # may well be full of folders named after modules, is not searched for them.
        command = [sys.executable, "-P", "-m", f"resnet_cluster.data.{self.module}"]
        with (
            tempfile.TemporaryFile() as log,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # it ended at once: the log says why
                    process.stdin.write(json.dumps(request).encode() + b"\n")
                    process.stdin.flush()
                for kind, event in _events(process, self.stall_s):
                    if kind == "done":
                        return
                    if kind == "error":
                        raise _ERRORS.get(event["kind"], ResnetClusterError)(
                            event["message"], mend=event["mend"]
                        )
                    yield kind, event
                raise self._ended(process, log)
            except TimeoutError:
                raise IntegrityError(
                    f"{self.current}: {self.doing} stood still there for {self.stall_s:g} s and "
                    "was ended",
                    mend="check that its disk answers, and the images after it",
                ) from None
            finally:
                if process.returncode is None:  # not waited for, so its id is still its own
                    os.killpg(process.pid, signal.SIGKILL)

    def _ended(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> ResnetClusterError:
        code = process.wait(EXIT_DEADLINE_S)
        if code < 0:
            return PreflightError(
                f"{self.current}: {self.doing} was ended there by {signal.Signals(-code).name}",
                mend="see whether the machine ran out of memory, then try again",
            )
        log.seek(0)
        lines = log.read().decode("utf-8", "replace").strip().splitlines() or ["no message"]
        return ResnetClusterError(f"{self.current}: {self.doing} failed there: {lines[-1]}")


def _events(
    process: subprocess.Popen[bytes], stall_s: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    assert process.stdout is not None
    descriptor, unread = process.stdout.fileno(), b""
    while True:
        if not select.select([descriptor], [], [], stall_s)[0]:
            raise TimeoutError
        if not (block := os.read(descriptor, 1 << 16)):
            return
        *lines, unread = (unread + block).split(b"\n")
        for line in lines:
            event = json.loads(line)
            yield event.pop("event"), event
