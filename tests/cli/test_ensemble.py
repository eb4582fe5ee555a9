"""`ensemble`: from measured runs to one figure, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_calls import Call, assert_refused
from factories import make_job, make_run_record
from sklearn.metrics import accuracy_score

from resnet_cluster.checkpoints import save_weights
from resnet_cluster.data import load_manifest
from resnet_cluster.data.beton import read_index
from resnet_cluster.nets import build_net
from resnet_cluster.results import (
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    DatasetFacts,
    EventLog,
    RunState,
)
from resnet_cluster.spec import JobSpec

SEEDS = (0, 1, 2)


def make_run(home: Path, seed: int, **dataset: object) -> Path:
    """A run with the weights of a net that has learnt nothing."""
    job = make_job({"name": f"seed{seed}", "seed": seed, "model.depth": 8, "data.name": "digits"})
    record = make_run_record(job, run_id=f"r-0000000{seed}")
    facts = {"sha256": load_manifest("digits").sha256, "image_size": 8, "name": "digits"} | dataset
    changed = DatasetFacts.model_validate(record.dataset.model_dump() | facts)
    folder = home / "runs" / record.run_id
    folder.mkdir(parents=True)
    path = folder / "weights.pt"
    weights = ArtefactRecord(
        name="weights",
        path=path.name,
        sha256=save_weights(path, make_net(seed).state_dict()),
        num_bytes=path.stat().st_size,
    )
    for event in (
        record.model_copy(update={"dataset": changed}),
        AttemptStarted(attempt=1, owner="here"),
        weights,
        AttemptEnded(attempt=1, state=RunState.SUCCEEDED),
    ):
        EventLog(folder).record(event)
    return folder


def make_net(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_net(family="cifar", depth=8, shortcut="A", num_classes=10).eval()


@pytest.fixture
def runs(home: Path, data_root: Path) -> list[Path]:
    """Three of them."""
    return [make_run(home, seed) for seed in SEEDS]


def error_by_hand(data_root: Path) -> float:
    """The three nets over all test images at once, their probabilities averaged."""
    folder = data_root / "digits"
    index, content = read_index(folder / "test.beton"), (folder / "test.beton").read_bytes()
    images = np.stack(
        [
            np.frombuffer(content, np.uint8, 192, int(start)).reshape(8, 8, 3)
            for start in index.pointers
        ]
    )
    pixels = torch.from_numpy(images.astype(np.float32) - load_manifest(str(folder)).pixel_mean())
    with torch.no_grad():
        views = pixels.permute(0, 3, 1, 2)
        mean = torch.stack([make_net(seed)(views).softmax(1) for seed in SEEDS]).mean(0)
    return 100.0 * (1 - float(accuracy_score(index.labels, mean.argmax(1))))


def test_three_runs_together(runs: list[Path], data_root: Path, call: Call) -> None:
    names = [f"seed{seed}" for seed in SEEDS]
    measured = call("evaluate", *names, "--protocol", "single")
    assert measured.code == 0, measured.err
    found = call("ensemble", *names, "--protocol", "single", "-o", "json")
    assert found.code == 0, found.err
    figure = json.loads(found.out)
    assert figure["errors"]["top1_err"] == pytest.approx(error_by_hand(data_root))
    assert (figure["num_moved"], figure["names"]) == (0, names)
    # In another order it is the same figure, made once.
    again = call("ensemble", *reversed(names), "--protocol", "single", "-o", "json")
    assert json.loads(again.out) == figure
    assert "has been measured before" in again.err
    shown = call("ensemble", *names, "--protocol", "single").out.splitlines()
    assert [line.split("  ")[0] for line in shown] == [*names, "together"]
    assert "test error, 3 runs, single view: " in shown[-1]


def test_the_best_of_several_are_searched_on_half_of_the_images(
    runs: list[Path], call: Call
) -> None:
    names = [f"seed{seed}" for seed in SEEDS]
    call("evaluate", *names, "--protocol", "single")
    found = call("ensemble", *names, "--protocol", "single", "--greedy", "-o", "json")
    assert found.code == 0, found.err
    steps = [json.loads(line) for line in found.out.splitlines()]
    assert [step["number"] for step in steps] == list(range(1, len(steps) + 1))
    assert steps[0]["judging"]["num_images"] == 20  # of forty
    errors = [step["selecting_top1_err"] for step in steps]
    assert errors == sorted(errors, reverse=True)
    shown = call("ensemble", *names, "--protocol", "single", "--greedy", "--most", "2")
    assert shown.out.startswith(f"1  {steps[0]['name']}  selecting {errors[0]:.2f} %, judging")
    assert not list(runs[0].glob("events/ensemble-*"))
    searches = len(list(runs[0].glob("events/search-*")))
    uses = " ".join(call("report").out.split())
    assert f"{searches} search{'es' * (searches > 1)} for an ensemble" in uses
    told = call("logs", "seed0").out
    assert f"search for an ensemble under single: {len(steps)} of {len(names)} runs" in told
    if len(steps) > 1:
        assert "measures it on all images" in shown.err


def test_runs_without_predictions_are_named_with_what_makes_them(
    runs: list[Path], call: Call
) -> None:
    call("evaluate", "seed0", "--protocol", "ten-crop")
    call("evaluate", "seed1", "--protocol", "ten-crop", "--predictions-gb", "0")
    refused = call("ensemble", "seed0", "seed1", "--protocol", "ten-crop")
    assert_refused(refused, 3, "seed1", "resnet-cluster evaluate r-00000001 --protocol ten-crop")
    scaled = call("ensemble", "seed0", "seed1", "--protocol", "multi-scale", "--scales", "8,12")
    assert_refused(scaled, 3, "evaluate r-00000000 --protocol multi-scale --scales 8,12`")
    made = call("evaluate", "seed1", "--protocol", "ten-crop")
    assert "its predictions are made anew" in made.err
    assert call("ensemble", "seed0", "seed1", "--protocol", "ten-crop").code == 0


def test_predictions_that_find_no_room_cost_no_figure(runs: list[Path], call: Call) -> None:
    found = call("evaluate", "seed0", "--protocol", "ten-crop", "--predictions-gb", "1e-6")
    assert found.code == 0
    assert found.err.count("are not kept") == 1
    assert "its predictions are not kept: they need 2.5e-05 GB" in found.err
    assert not list((runs[0] / "predictions").glob("*/*"))


def test_damaged_predictions_are_refused(runs: list[Path], call: Call) -> None:
    call("evaluate", "seed0", "seed1", "--protocol", "single")
    (path,) = (runs[1] / "predictions").glob("*/*.npy")
    path.write_bytes(path.read_bytes()[:-1])
    assert_refused(call("ensemble", "seed0", "seed1", "--protocol", "single"), 5, "SHA-256")
    assert not list(runs[0].glob("events/ensemble-*"))


def test_what_is_no_ensemble(runs: list[Path], home: Path, call: Call) -> None:
    for named in (["seed0"], ["seed0", "seed0"], ["seed0", "r-00000000", "seed1"]):
        assert_refused(call("ensemble", *named, "--protocol", "single"), 2, "each named once")
    make_run(home, 7, sha256="f" * 64)
    assert_refused(call("ensemble", "seed0", "seed7", "--protocol", "single"), 2, "other images")
    make_run(home, 8, num_classes=100)
    refused = call("ensemble", "seed0", "seed8", "--protocol", "single")
    assert_refused(refused, 2, "10 and 100 classes")
    assert_refused(call("ensemble", "seed0", "nobody", "--protocol", "single"), 102, "nobody")


def test_jobs_that_mean_different_things_by_a_word(
    runs: list[Path], home: Path, data_root: Path, call: Call
) -> None:
    folder = make_run(home, 5)
    event = folder / "events" / "run.json"
    content = json.loads(event.read_text())
    content["job"]["evaluate"]["average"] = "logits"
    JobSpec.model_validate(content["job"], strict=False)
    event.write_text(json.dumps(content))
    refused = call("ensemble", "seed0", "seed5", "--protocol", "ten-crop")
    assert_refused(
        refused, 2, "ten-crop-8pad4-softmax for seed0", "ten-crop-8pad4-logits", "--average"
    )
    for seed in (0, 5):
        call("evaluate", f"seed{seed}", "--protocol", "ten-crop", "--average", "logits")
    together = call("ensemble", "seed0", "seed5", "--protocol", "ten-crop", "--average", "logits")
    assert together.code == 0, together.err


def test_layers_are_analyzed_once(runs: list[Path], call: Call) -> None:
    first = call("analyze", "seed0", "-o", "json")
    assert first.code == 0, first.err
    content = json.loads(first.out)
    assert [layer["name"] for layer in content["layers"]][:2] == ["conv1", "layer1.0.conv1"]
    assert (len(content["layers"]), content["num_images"]) == (7, 40)
    again = call("analyze", "seed0")
    assert "has been analyzed so before" in again.err
    lines = again.out.splitlines()
    assert lines[0].split() == ["layer", "convolution", "deviation", "by", "size"]
    assert sorted(int(line.split()[3]) for line in lines[1:]) == [1, 2, 3, 4, 5, 6, 7]
    assert max(line.count("#") for line in lines) == 30
    fewer = call("analyze", "seed0", "--limit", "10", "-o", "json")
    assert json.loads(fewer.out)["num_images"] == 10
    assert len(list(runs[0].glob("events/responses-*"))) == 2
    assert_refused(call("analyze", "nobody"), 102, "nobody")
