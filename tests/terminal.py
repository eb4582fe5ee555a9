"""A program on a terminal of its own, as a person would see it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    program: str, *, environment: Mapping[str, str], columns: int = 120, timeout_s: float = 60.0
) -> str:
    """Run Python source with a terminal as its stdout and stderr; gives all that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=dict(environment),
        start_new_session=True,
    )
    os.close(theirs)
    parts = []
    try:
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := os.read(ours, 65536):
                parts.append(part)
        assert process.wait(timeout_s) == 0, b"".join(parts).decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return b"".join(parts).decode()


def without_escapes(text: str) -> str:
    """What remains to be read."""
    return _ESCAPE.sub("", text)
