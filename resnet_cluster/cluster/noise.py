"""Ray prints into the driver's own stdout and stderr, from C++ too: that goes to a file here."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

NOISE_NAME = ".ray.log"
"""In the folder of runs: what Ray prints before it is known which run it is for."""


@contextlib.contextmanager
def noise_in(log: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Send this process's stdout and stderr to a file; gives the real ones, to speak to the user.

    Args:
        log: the file, appended to; its folder is made.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with (
        os.fdopen(os.dup(1), "w") as real_out,
        os.fdopen(os.dup(2), "w") as real_err,
        log.open("ab", buffering=0) as file,
    ):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield real_out, real_err
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(real_out.fileno(), 1)
            os.dup2(real_err.fileno(), 2)
