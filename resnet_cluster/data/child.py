"""The inside of a process that works for another one, which listens and may end it.

The first line of its standard input is what is asked, a JSON object; its standard output tells how
far it is, then that it is done or what is wrong, one JSON object a line. When its standard input
closes, the process that started it is gone, and it ends too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

from resnet_cluster.errors import ResnetClusterError

Tell = Callable[[Any], None]
"""Called with a dataclass of plain values: an event for the process that listens."""


def serve(work: Callable[[dict[str, Any], Tell], None]) -> int:
    """Do what standard input asks for; 0 where it is done, 1 where the error was told.

    Args:
        work: is given what was asked, and what to call with its events.
    """
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library that prints must not speak into the events
    try:
        work(request, lambda event: _send(events, type(event).__name__, asdict(event)))
    except ResnetClusterError as error:
        _send(events, "error", _told(error))
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
