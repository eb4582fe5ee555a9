"""Runs the converting process, listens to it, and ends it when it falls silent."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
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
    # No shell, no fork of this process (it may hold threads), and -P: the working folder, which
    # may well be full of folders named after modules, is not searched for them.
    command = [sys.executable, "-P", "-m", "resnet_cluster.data.convert"]
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
        current = request.source
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it ended at once: the log says why
                process.stdin.write(json.dumps(asdict(request)).encode() + b"\n")
                process.stdin.flush()
            for kind, event in _events(process, stall_s):
                if kind == "Progress":
                    progress = Progress(**event)
                    current = progress.current or current
                    on_progress(progress)
                elif kind == "PreparationPlan":
                    on_plan(PreparationPlan(**event))
                elif kind == "error":
                    raise _ERRORS.get(event["kind"], ResnetClusterError)(
                        event["message"], mend=event["mend"]
                    )
                else:
                    return
            raise _ended(process, log, current)
        except TimeoutError:
            raise IntegrityError(
                f"{current}: converting stood still there for {stall_s:g} s and was ended",
                mend="check that its disk answers, and the images after it",
            ) from None
        finally:
            if process.returncode is None:  # not waited for, so its id is still its own
                os.killpg(process.pid, signal.SIGKILL)


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


def _ended(process: subprocess.Popen[bytes], log: IO[bytes], current: str) -> ResnetClusterError:
    code = process.wait(EXIT_DEADLINE_S)
    if code < 0:
        return PreflightError(
            f"{current}: converting was ended there by {signal.Signals(-code).name}",
            mend="see whether the machine ran out of memory, then prepare it again",
        )
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines() or ["no message"]
    return ResnetClusterError(f"{current}: converting failed there: {lines[-1]}")
