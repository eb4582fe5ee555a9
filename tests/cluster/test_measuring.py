"""`evaluate` on several workers of a real cluster."""

from __future__ import annotations

import shutil

import pytest
from sandbox import Sandbox
from tiny_runs import Done, events, only_run

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]


def test_two_workers_measure_what_one_process_does(done: Done, sandbox: Sandbox) -> None:
    shutil.copytree(done.sandbox.runs, sandbox.runs)
    run_dir = only_run(sandbox)
    options = ("evaluate", "tiny", "--protocol", "ten-crop", "-o", "json")
    found = sandbox.run(*options, "--workers", "2", "--predictions-gb", "1")
    assert found.code == 0, found.err
    (name,) = [name for name in events(run_dir) if name.startswith("evaluation-ten-crop")]
    figure = found.json()
    assert figure["errors"] == events(run_dir)[name]["errors"]
    files = sorted(path.name for path in run_dir.glob("predictions/ten-crop*/*"))
    assert files == ["000-of-002.npy", "001-of-002.npy", "contents.json"]

    (run_dir / "events" / f"{name}.json").unlink()
    here = sandbox.run(*options)
    assert here.code == 0, here.err
    assert here.json()["errors"] == pytest.approx(figure["errors"])

    (run_dir / "weights.pt").write_bytes(b"")
    changed = sandbox.run(
        "evaluate", "tiny", "--protocol", "multi-scale", "--scales", "32", "--workers", "2"
    )
    assert (changed.code, changed.out) == (100, "")
    assert "the SHA-256 differs" in changed.err
    assert "Traceback" not in changed.err

    refused = sandbox.run(*options, "--average", "logits", "--workers", "99")
    assert (refused.code, refused.out) == (3, "")
    assert "99 workers need 99 CPU cores" in refused.err
