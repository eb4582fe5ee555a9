"""The process that converts a source: `python -m resnet_cluster.data.convert`.

It is a process of its own so that whatever it is stuck in can be ended from outside. The first
line of its standard input is the request, a JSON object; its standard output tells how far it
is, then that it is done or what is wrong, one JSON object a line. When its standard input
closes, the process that started it is gone, and it ends too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from typing import Any, TextIO

from resnet_cluster.data.conversion import convert
from resnet_cluster.data.request import ConversionRequest, PreparationPlan, Progress
from resnet_cluster.data.sources import DISK_FULL
from resnet_cluster.errors import PreflightError, ResnetClusterError


def main() -> int:
    """Convert what standard input asks for; 0 where it is done, 1 where the error was told."""
    request = ConversionRequest(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library that prints must not speak into the events
    plans: list[PreparationPlan] = []

    def tell(event: PreparationPlan | Progress) -> None:
        if isinstance(event, PreparationPlan):
            plans.append(event)
        _send(events, type(event).__name__, asdict(event))

    try:
        convert(request, tell)
    except ResnetClusterError as error:
        _send(events, "error", _told(error))
        return 1
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        _send(events, "error", _told(_disk_full(request, plans)))
        return 1
    _send(events, "done", {})
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _send(events: TextIO, kind: str, content: dict[str, Any]) -> None:
    events.write(json.dumps({"event": kind, **content}) + "\n")
    events.flush()


def _told(error: ResnetClusterError) -> dict[str, str]:
    return {"kind": type(error).__name__, "message": error.message, "mend": error.mend}


def _disk_full(request: ConversionRequest, plans: list[PreparationPlan]) -> PreflightError:
    needed = f": {plans[0].num_bytes / 1e6:,.0f} MB are needed in all" if plans else ""
    return PreflightError(
        f"{os.path.dirname(request.folder)}: the disk is full{needed}",
        mend="free some space, or name another disk with --out",
    )


if __name__ == "__main__":
    sys.exit(main())
