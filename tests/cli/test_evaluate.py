"""`evaluate`: what it shows, stores and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cli_calls import Call, assert_refused
from factories import make_job, make_run_record, record_run

from resnet_cluster.checkpoints import save_weights
from resnet_cluster.data import load_manifest
from resnet_cluster.nets import build_net
from resnet_cluster.results import ArtefactRecord, AttemptEnded, AttemptStarted, EventLog, RunState


@pytest.fixture
def run_dir(home: Path, data_root: Path) -> Path:
    """A run with the weights of a net that has learnt nothing."""
    job = make_job({"name": "untrained", "model.depth": 8, "data.name": "digits"})
    sha256 = load_manifest("digits").sha256
    record = make_run_record(job, run_id="r-00000001")
    record = record.model_copy(
        update={"dataset": record.dataset.model_copy(update={"sha256": sha256})}
    )
    folder = home / "runs" / record.run_id
    torch.manual_seed(0)
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=10)
    folder.mkdir(parents=True)
    path = folder / "weights.pt"
    weights = ArtefactRecord(
        name="weights",
        path=path.name,
        sha256=save_weights(path, net.state_dict()),
        num_bytes=path.stat().st_size,
    )
    started = AttemptStarted(attempt=1, owner="here")
    for event in (record, started, weights, AttemptEnded(attempt=1, state=RunState.SUCCEEDED)):
        EventLog(folder).record(event)
    return folder


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--protocol", "single"], "single view"),
        (["--protocol", "centre", "--view", "12,10"], "centre-10of12"),
        (["--protocol", "ten-crop"], "ten-crop-8pad4-softmax"),
        (["--protocol", "ten-crop", "--average", "logits"], "ten-crop-8pad4-logits"),
        (
            ["--protocol", "multi-scale", "--scales", "8,12"],
            "multi-scale-8-12-softmax",
        ),
    ],
)
def test_a_figure_is_shown_and_stored_once(
    options: list[str], name: str, run_dir: Path, call: Call
) -> None:
    first = call("evaluate", "untrained", *options)
    assert first.code == 0, first.err
    assert first.out.startswith(f"untrained  test error, {name}: ")
    assert "(40 images)" in first.out
    assert name in call("status", "untrained").out
    again = call("evaluate", "untrained", *options)
    assert (again.code, again.out) == (0, first.out)
    assert "has been measured so before" in again.err
    assert len(list((run_dir / "events").glob("evaluation-*"))) == 1


def test_several_runs_as_json(run_dir: Path, call: Call) -> None:
    found = call("evaluate", "r-00000001", "untrained", "--protocol", "ten-crop", "-o", "json")
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert len(lines) == 2
    assert all('"protocol": "ten-crop-8pad4-softmax"' in line for line in lines)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--protocol", "ten"], 2, "ten-crop"),
        ([], 2, "--protocol"),
        (["--protocol", "ten-crop", "--scales", "8"], 2, "--protocol multi-scale"),
        (["--protocol", "multi-scale", "--scales", "12,8"], 2, "rising"),
        (["--protocol", "multi-scale", "--scales", "a"], 2, "rising"),
        (["--protocol", "multi-scale", "--scales", ""], 2, "rising"),
        (["--protocol", "multi-scale", "--scales", "4"], 2, "from 8 to 4096"),
        (["--protocol", "centre"], 2, "--view RESIZE,SIZE"),
        (["--protocol", "single", "--view", "12,10"], 2, "--protocol centre"),
        (["--protocol", "centre", "--view", "10,12"], 2, "is no view"),
        (["--protocol", "centre", "--view", "10"], 2, "is no view"),
        (["--protocol", "centre", "--view", "10,a"], 2, "is no view"),
        (["--protocol", "centre", "--view", "9000,288"], 2, "from 8 to 4096"),
    ],
)
def test_options_that_cannot_be_meant(
    options: list[str], code: int, says: str, run_dir: Path, call: Call
) -> None:
    refused = call("evaluate", "untrained", *options)
    assert refused.code == code
    assert says in refused.err
    assert "Traceback" not in refused.err
    assert not list((run_dir / "events").glob("evaluation-*"))


def test_runs_that_cannot_be_measured(run_dir: Path, call: Call, home: Path) -> None:
    assert_refused(call("evaluate", "nobody", "--protocol", "single"), 102, "nobody")
    unfinished = make_run_record(make_job({"name": "unfinished"}), run_id="r-00000002")
    record_run(home / "runs", unfinished)
    refused = call("evaluate", "untrained", "unfinished", "--protocol", "single")
    assert_refused(refused, 101, "has no weights yet")
    assert not list((run_dir / "events").glob("evaluation-*"))


def test_another_data_set_under_the_same_name(run_dir: Path, call: Call, home: Path) -> None:
    other = make_run_record(make_job({"name": "other", "data.name": "digits"}), run_id="r-00000003")
    log = record_run(home / "runs", other)
    (log.run_dir / "weights.pt").write_bytes((run_dir / "weights.pt").read_bytes())
    log.record(ArtefactRecord(name="weights", path="weights.pt", sha256="0" * 64, num_bytes=1))
    refused = call("evaluate", "other", "--protocol", "single")
    assert_refused(refused, 5, "is not the one that other was trained on")
