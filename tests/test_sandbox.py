"""The sandbox of the tests itself: nothing that was started in it escapes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sandbox import Sandbox

pytestmark = pytest.mark.timeout(60)

AGENT = """
import time
from ray import _raylet
_raylet.setproctitle("ray::Agent of a node")
print("there", flush=True)
time.sleep(50)
"""


def test_what_has_written_over_its_environment_is_found() -> None:
    """As Ray's agents do with their titles: one that outlives its head takes a core for long."""
    with Sandbox() as sandbox:
        agent = sandbox.start("-c", AGENT, program=Path(sys.executable))
        sandbox.wait_for(lambda: agent.out, timeout_s=30)
        pid = agent.process.pid
        assert b"RESNET_CLUSTER_HOME" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert sandbox.processes() == {pid: "ray::Agent of a node"}
        sandbox.kill()
        assert agent.finish().code == -9
