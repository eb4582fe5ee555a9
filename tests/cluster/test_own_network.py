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
    """One run to its end; its twin is stopped, the source edited, and gone on with elsewhere."""
    own = sandbox.folder / "wide.py"
    own.write_text(example("python"))
    job = sandbox.folder / "wide.yaml"
    job.write_text(example("yaml"))
    short = ["--set", "train.epochs=1", "--workers", "2"]
    first = sandbox.run("submit", job, *short)
    assert first.code == 0, first.err
    run_dir = sandbox.runs / first.out.strip()
    assert (run_dir / "code" / "wide.py").read_text() == own.read_text()

    edited = own.read_text() + "# edited\n"
    own.write_text(edited)
    refused = sandbox.run("submit", job, *short, "--dry-run")
    assert (refused.code, f"belongs to {run_dir.name}" in refused.err) == (2, True), refused.err
    words = ("submit", job, *short, "--name", "edited", "--dry-run", "-o", "json")
    again = sandbox.run(*words)
    assert again.json()["key"] != events(run_dir)["run"]["key"]
    assert sandbox.run("evaluate", "wide", "--protocol", "flip").code == 0
    own.unlink()
    workers = sandbox.run("evaluate", "wide", "--protocol", "ten-crop", "--workers", "2")
    assert workers.code == 0, workers.err
    report = {
        (each["model"], each["protocol"])
        for each in json.loads(sandbox.run("report", "-o", "json").out)
    }
    assert report == {
        ("wide_net(dropout=0.1, width=2)", "single"),
        ("wide_net(dropout=0.1, width=2)", "flip-softmax"),
        ("wide_net(dropout=0.1, width=2)", "ten-crop-32pad4-softmax"),
    }


def test_a_run_goes_on_with_the_source_that_it_began_with(sandbox: Sandbox) -> None:
    own = sandbox.folder / "wide.py"
    own.write_text(example("python"))
    job = sandbox.folder / "wide.yaml"
    job.write_text(example("yaml"))
    narrow = ["--set", "model.options={width: 1, dropout: 0.1}"]
    options = [*narrow, "--set", "train.epochs=3", "--workers", "2"]
    whole = sandbox.run("submit", job, *options)
    assert whole.code == 0, whole.err
    stopped = sandbox.start("submit", job, *options, "--rerun", "--name", "again")
    sandbox.wait_for(lambda: "epoch   1" in stopped.err)
    stopped.interrupt()
    assert stopped.finish().code == 130
    own.write_text(own.read_text().replace("16 * width", "8 * width"))
    resumed = sandbox.run("resume", "again")
    assert resumed.code == 0, resumed.err
    assert_same_weights(sandbox.runs / whole.out.strip(), sandbox.runs / resumed.out.strip())
