"""A signal that comes while a process is started, which Python would drop with a lock taken."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, ctypes, functools, os, sys

# As if Ctrl-C came within a fork: what Python runs after it begins with an interrupt. Registered
# before logging is imported, and so run before logging lets go of its lock.
kill = functools.partial(ctypes.PyDLL(None).kill, os.getpid(), 2)
os.register_at_fork(after_in_parent=kill)
import logging, threading
from resnet_cluster.cluster.signals import StopRequest, signals_to

sys.unraisablehook = lambda _: None
stop = StopRequest()
with signals_to(stop) if sys.argv[1] == "noted" else contextlib.nullcontext():
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    taken = []
    other = threading.Thread(target=lambda: taken.append(logging._lock.acquire(timeout=1)))
    other.start()
    other.join()
print(taken[0], stop.times, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(("how", "expected"), [("noted", "True 1"), ("raised", "False 0")])
def test_a_signal_at_a_fork(how: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == expected
