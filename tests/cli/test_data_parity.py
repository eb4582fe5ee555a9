"""`data parity`: what it shows, stores and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cli_calls import Call, assert_refused
from factories import make_job, make_run_record, record_run

from resnet_cluster.checkpoints import save_weights
from resnet_cluster.nets import build_net
from resnet_cluster.results import (
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    EventLog,
    RunState,
)


@pytest.fixture
def run_dir(home: Path, data_root: Path) -> Path:
    """A run with the weights of a net that has learnt nothing."""
    job = make_job({"name": "untrained", "model.depth": 8, "data.name": "digits"})
    record = make_run_record(job, run_id="r-00000001")
    folder = home / "runs" / record.run_id
    torch.manual_seed(0)
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=10)
    folder.mkdir(parents=True)
    path = folder / "weights.pt"
    sha256 = save_weights(path, net.state_dict())
    weights = ArtefactRecord(
        name="weights", path=path.name, sha256=sha256, num_bytes=path.stat().st_size
    )
    started = AttemptStarted(attempt=1, owner="here")
    for event in (record, started, weights, AttemptEnded(attempt=1, state=RunState.SUCCEEDED)):
        EventLog(folder).record(event)
    return folder


def test_it_is_shown_and_stored(run_dir: Path, call: Call) -> None:
    shown = call("data", "parity", "digits", "--run", "untrained")
    assert shown.code == 0, shown.err
    assert "40 of digits" in shown.out
    assert "0.0000 grey levels" in shown.out
    assert "100.00 % of the predictions" in shown.out
    (stored,) = (run_dir / "events").glob("parity-*-40.json")
    assert '"agreement": 100.0' in stored.read_text()
    assert "parity with PIL and torchvision on 40 images" in call("logs", "untrained").out
    again = call("data", "parity", "digits", "--run", "untrained")
    assert (again.code, "has a comparison of these images already" in again.err) == (0, True)
    assert again.out == shown.out


def test_of_a_few_images_as_json(run_dir: Path, call: Call) -> None:
    found = call("data", "parity", "digits", "--run", "untrained", "--limit", "7", "-o", "json")
    assert found.code == 0
    facts = found.json()
    assert (facts["kind"], facts["num_images"], facts["pixel_difference"]) == ("parity", 7, 0.0)
    assert facts["versions"]["pillow"]


def test_what_cannot_be_compared(run_dir: Path, call: Call, tmp_path: Path, home: Path) -> None:
    refused = call("data", "parity", "nothing", "--run", "untrained")
    assert_refused(refused, 3, "no data set named 'nothing'")
    assert_refused(call("data", "parity", "digits", "--run", "nobody"), 102, "nobody")
    assert call("data", "parity", "digits", "--run", "untrained", "--limit", "0").code == 2
    unfinished = make_run_record(make_job({"name": "unfinished"}), run_id="r-00000002")
    record_run(home / "runs", unfinished)
    refused = call("data", "parity", "digits", "--run", "unfinished")
    assert_refused(refused, 101, "has no weights yet", "resume unfinished")


def test_weights_that_were_changed(run_dir: Path, call: Call) -> None:
    with (run_dir / "weights.pt").open("r+b") as file:
        file.write(b"\0\0")
    refused = call("data", "parity", "digits", "--run", "untrained")
    assert_refused(refused, 5, "weights.pt", "SHA-256")
