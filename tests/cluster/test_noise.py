"""What Ray prints, in Python or below it, stays away from the user's stdout and stderr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from resnet_cluster.cluster.noise import noise_in

log = Path(sys.argv[1])
print("before", flush=True)
try:
    with noise_in(log) as (out, err), noise_in(log.with_name("inner.log")):
        print("noise of Python")
        os.write(2, b"noise of C\\n")
        subprocess.run(["echo", "noise of a child"], check=True)
        print("result", file=out, flush=True)
        print("message", file=err, flush=True)
        if sys.argv[2] == "fails":
            raise RuntimeError("as asked")
except RuntimeError:
    pass
print("after")
print("after, too", file=sys.stderr)
"""


@pytest.mark.parametrize("how", ["ends", "fails"])
def test_noise_goes_to_a_file(how: str, tmp_path: Path) -> None:
    log = tmp_path / "made" / "noise.log"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(log), how],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["before", "result", "after"]
    assert done.stderr.splitlines() == ["message", "after, too"]
    inner = log.with_name("inner.log").read_text().splitlines()
    assert sorted(inner) == ["noise of C", "noise of Python", "noise of a child"]
    assert log.read_text() == ""
