"""The network of docs/your_network.md, as a user has it: trained, edited, resumed, measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sandbox import Sandbox
from tiny_runs import assert_same_weights, events

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "your_network.md"


def example(language: str) -> str:
    """The one listing of a language on the page."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(text)


def test_the_page_holds_what_it_promises(sandbox: Sandbox) -> None:
    """One run to its end; its twin is stopped, the source edited, and gone on with as it began."""
    own = sandbox.folder / "wide.py"
    own.write_text(example("python"))
    job = sandbox.folder / "wide.yaml"
    job.write_text(example("yaml"))
    options = ["--set", "train.epochs=10", "--set", "model.options.width=1", "--workers", "2"]
    first = sandbox.run("submit", job, *options)
    assert first.code == 0, first.err
    run_dir = sandbox.runs / first.out.strip()
    assert (run_dir / "code" / "wide.py").read_text() == own.read_text()
    twin = sandbox.start("submit", job, *options, "--rerun", "--name", "again")
    sandbox.wait_for(lambda: "epoch   1" in twin.err)
    twin.interrupt()
    assert twin.finish().code == 130

    own.write_text(own.read_text().replace("16 * width", "8 * width"))
    refused = sandbox.run("submit", job, *options, "--dry-run")
    assert (refused.code, f"belongs to {run_dir.name}" in refused.err) == (2, True), refused.err
    edited = sandbox.run("submit", job, *options, "--name", "edited", "--dry-run", "-o", "json")
    assert edited.json()["key"] != events(run_dir)["run"]["key"]
    resumed = sandbox.run("resume", "again")
    assert resumed.code == 0, resumed.err
    assert_same_weights(run_dir, sandbox.runs / resumed.out.strip())
    assert_measured_by_its_own_source(sandbox, own)


def assert_measured_by_its_own_source(sandbox: Sandbox, own: Path) -> None:
    """Here and by workers, whatever has become of the module that it was submitted with."""
    assert sandbox.run("evaluate", "wide", "--protocol", "flip").code == 0
    own.unlink()
    workers = sandbox.run("evaluate", "wide", "--protocol", "ten-crop", "--workers", "2")
    assert workers.code == 0, workers.err
    report = {
        (each["model"], each["protocol"])
        for each in json.loads(sandbox.run("report", "-o", "json").out)
    }
    assert report == {
        ("wide_net(dropout=0.1, width=1)", "single"),
        ("wide_net(dropout=0.1, width=1)", "flip-softmax"),
        ("wide_net(dropout=0.1, width=1)", "ten-crop-16pad4-softmax"),
    }
