"""What a worker prints, in Python or below it: a file of the run has it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ray.train.v2._internal.execution import context as ray_context


@contextlib.contextmanager
def output_in(log: Path) -> Iterator[None]:
    """Send what this process prints, in Python or below it, to a file of the run."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as file:
        kept = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
        )
        # Ray repeats each epoch's metrics at length; the run's events tell them.
        ray_context.logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
