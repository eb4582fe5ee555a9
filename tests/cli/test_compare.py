"""`compare`: from kept predictions to a verdict, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_calls import Call, assert_refused
from factories import CIFAR10, DIGITS, make_errors, make_evaluation, make_job, make_run_record
from numpy.typing import NDArray
from scipy import stats

from resnet_cluster.evaluation import (
    Contents,
    PredictionsWriter,
    predictions_folder,
    seal_predictions,
)
from resnet_cluster.results import (
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    DatasetFacts,
    EventLog,
    ImportedWeights,
    RunState,
)

NUM_IMAGES = 2_000
FACTS = CIFAR10.model_copy(update={"num_test_images": NUM_IMAGES})
WEIGHTS = ArtefactRecord(name="weights", path="weights.pt", sha256="0" * 64, num_bytes=1)


def make_wrong(seed: int, share: float) -> NDArray[np.bool_]:
    """Images that are hard for all runs are wrong more often."""
    hardness = np.random.default_rng(1).beta(0.3, 0.3 / share - 0.3, NUM_IMAGES)
    return np.random.default_rng(100 + seed).random(NUM_IMAGES) < hardness


def keep(folder: Path, wrong: NDArray[np.bool_], sha256: str) -> None:
    """Predictions of ten classes, the first of which is every image's own."""
    ids = np.arange(NUM_IMAGES)
    writer = PredictionsWriter(folder, "000-of-001.npy", ids, num_views=1, num_classes=10)
    logits = torch.zeros(NUM_IMAGES, 10)
    logits[ids, wrong.astype(np.int64)] = 5.0
    labels = torch.zeros(NUM_IMAGES, dtype=torch.int64)
    writer.add(logits, labels, ids)
    writer.settle(logits.topk(5, dim=1).indices.eq(0), ids)
    contents = Contents(
        protocol="single",
        split="test",
        select="final",
        step=64_000,
        dataset_sha256=sha256,
        num_images=NUM_IMAGES,
        num_views=1,
        num_classes=10,
        files=(writer.finish(),),
    )
    seal_predictions(folder, contents)


def make_run(
    home: Path,
    name: str,
    wrong: NDArray[np.bool_] | None,
    *,
    is_kept: bool = True,
    dataset: DatasetFacts = FACTS,
    imported: ImportedWeights | None = None,
    **changes: Any,
) -> str:
    """A finished run that gets these images wrong; None has not been measured. Its id."""
    number = len(list((home / "runs").glob("*")))
    job = make_job({"name": name, **{key.replace("__", "."): v for key, v in changes.items()}})
    record = make_run_record(job, run_id=f"r-0000000{number}", dataset=dataset, minute=number)
    record = record.model_copy(update={"imported": imported})
    log = EventLog(home / "runs" / record.run_id)
    ends = (
        AttemptStarted(attempt=1, owner="here"),
        AttemptEnded(attempt=1, state=RunState.SUCCEEDED),
    )
    for event in (record, *ends, WEIGHTS):
        log.record(event)
    if wrong is not None:
        errors = make_errors(100 * float(wrong.mean()), num_images=NUM_IMAGES)
        log.record(make_evaluation(record, 0.0, errors=errors))
        if is_kept:
            folder = predictions_folder(home / "runs" / record.run_id, "single", "test", "final")
            keep(folder, wrong, dataset.sha256)
    return record.run_id


def make_seeds(
    home: Path, name: str, share: float, seeds: Sequence[int] = (0, 1, 2), **changes: Any
) -> list[NDArray[np.bool_]]:
    """Runs of one experiment; what they get wrong."""
    found = []
    for seed in seeds:
        found.append(make_wrong(seed + 1000 * int(1000 * share), share))
        make_run(home, f"{name}-{seed}", found[-1], seed=seed, **changes)
    return found


def compared(call: Call, *words: str) -> dict[str, Any]:
    found = call("compare", *words, "-o", "json")
    assert found.code == 0, found.err
    content: dict[str, Any] = json.loads(found.out)
    assert content["schema_version"] == 1
    return content


def test_two_experiments_of_three_seeds(home: Path, call: Call) -> None:
    worse = make_seeds(home, "r20", 0.12)
    better = make_seeds(home, "r56", 0.07, model__depth=56)
    # A run stands for its seeds, whichever of them is named.
    content = compared(call, "r20-1", "r56-2")
    errors = [[100 * float(wrong.mean()) for wrong in group] for group in (worse, better)]
    assert [sorted(group["top1_errs"]) for group in content["groups"]] == [
        pytest.approx(sorted(group)) for group in errors
    ]
    assert [group["has_predictions"] for group in content["groups"]] == [True, True]
    (pair,) = content["pairs"]
    reference = stats.ttest_ind(*errors, equal_var=False)
    assert pair["difference"] == pytest.approx(np.mean(errors[0]) - np.mean(errors[1]))
    assert (pair["welch"]["t"], pair["welch"]["p"]) == pytest.approx(
        (reference.statistic, reference.pvalue)
    )
    assert pair["p"] >= pair["welch"]["p"]
    assert (pair["p_holm"], pair["mcnemar"]) == (pair["p"], None)
    assert (pair["interval"]["method"], pair["interval"]["over"]) == ("Student", "seeds and images")
    assert pair["interval"]["low"] > 0
    assert pair["outcome"] == "second is better"
    assert pair["differs"] == {"model": ["ResNet-20", "ResNet-56"], "model.depth": ["20", "56"]}
    assert compared(call, "r20-1", "r56-2") == content
    shown = call("compare", "r20-0", "r56-0")
    assert "B is better by" in shown.out
    assert "Welch p" in shown.out
    assert "A and B differ in: model ResNet-20, ResNet-56" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert shown.err == ""


def test_one_run_against_one(home: Path, call: Call) -> None:
    first = make_seeds(home, "r20", 0.12)[0]
    second = make_seeds(home, "r56", 0.07, model__depth=56)[0]
    (pair,) = compared(call, "r20-0", "r56-0", "--alone")["pairs"]
    counts = int((first & ~second).sum()), int((second & ~first).sum())
    assert (pair["mcnemar"]["only_first"], pair["mcnemar"]["only_second"]) == counts
    exact = stats.binomtest(min(counts), sum(counts)).pvalue
    assert pair["mcnemar"]["p"] == pytest.approx(
        exact - stats.binom.pmf(min(counts), sum(counts), 0.5)
    )
    assert (pair["welch"], pair["needed"]) == (None, None)
    assert (pair["interval"]["method"], pair["interval"]["over"]) == ("bootstrap", "images")
    shown = " ".join(call("compare", "r20-0", "r56-0", "--alone").out.split())
    assert "Of these two runs B is better" in shown
    assert "Of other seeds that says nothing." in shown


def test_one_seed_of_an_experiment_settles_nothing(home: Path, call: Call) -> None:
    make_seeds(home, "r20", 0.12, seeds=[0])
    make_seeds(home, "r56", 0.05, model__depth=56)
    shown = " ".join(call("compare", "r20-0", "r56-0").out.split())
    assert "Not settled" in shown
    assert "A single seed of A does not say how far others lie apart." in shown
    (pair,) = compared(call, "r20-0", "r56-0")["pairs"]
    assert (pair["p"], pair["p_holm"], pair["outcome"]) == (None, None, "not settled")
    first, second = pair["needed"]["more"]
    assert first == second + 2


def test_equal_errors_are_no_spread(home: Path, call: Call) -> None:
    first, second = make_wrong(0, 0.12), make_wrong(0, 0.07)
    for seed in (0, 1):
        make_run(home, f"a-{seed}", first, seed=seed, is_kept=False)
        make_run(home, f"b-{seed}", second, seed=seed, model__depth=56, is_kept=False)
    shown = " ".join(call("compare", "a-0", "b-0").out.split())
    assert "All seeds of each have the same error" in shown
    assert "How many seeds would settle it is unknown" in shown
    (pair,) = compared(call, "a-0", "b-0")["pairs"]
    assert (pair["welch"], pair["interval"], pair["needed"]) == (None, None, None)


def test_three_groups_are_a_family(home: Path, call: Call) -> None:
    make_seeds(home, "r20", 0.12)
    make_seeds(home, "r32", 0.11, model__depth=32)
    make_seeds(home, "r56", 0.07, model__depth=56)
    content = compared(call, "r20-0", "r32-0", "r56-0")
    assert [(each["first"], each["second"]) for each in content["pairs"]] == [
        ("A", "B"),
        ("A", "C"),
        ("B", "C"),
    ]
    ps = [each["p"] for each in content["pairs"]]
    adjusted = [each["p_holm"] for each in content["pairs"]]
    assert min(adjusted) == pytest.approx(min(1, 3 * min(ps)))
    assert max(adjusted) >= max(ps)
    assert call("compare", "r20-0", "r32-0", "r56-0").out.count("Holm ") == 3


def test_runs_named_one_by_one(home: Path, call: Call) -> None:
    make_seeds(home, "r20", 0.12)
    make_seeds(home, "r56", 0.07, model__depth=56)
    content = compared(call, "r20-0,r20-2", "r56-0,r56-1")
    assert [group["seeds"] for group in content["groups"]] == [[0, 2], [0, 1]]
    # Seeds of one experiment may be set against one another.
    (pair,) = compared(call, "r20-0,r20-2", "r20-1", "--alone")["pairs"]
    assert pair["differs"] == {}
    assert_refused(call("compare", "r20-0,r56-0", "r20-1"), 2, "no seeds of one", "model.depth")
    again = make_run(home, "again", make_wrong(5, 0.1), seed=0)
    assert_refused(call("compare", f"r20-0,{again}", "r56-0"), 2, "the seed 0", "one of each seed")
    # The newest stands for its seed, unless another one is named.
    assert compared(call, "r20-1", "r56-0")["groups"][0]["run_ids"][0] == again
    assert compared(call, "r20-0", "r56-0")["groups"][0]["run_ids"][0] == "r-00000000"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": DIGITS, "data__name": "digits"}, "data sets differ (cifar10 c1fac1fac1fa and"),
        (
            {"dataset": FACTS.model_copy(update={"num_train_images": 45_000})},
            "numbers of training images differ (50,000 and 45,000)",
        ),
    ],
)
def test_figures_of_other_data_are_refused(
    home: Path, call: Call, changes: Mapping[str, Any], words: str
) -> None:
    make_seeds(home, "r20", 0.12)
    make_run(home, "other", make_wrong(9, 0.1), is_kept=False, **changes)
    assert_refused(call("compare", "r20-0", "other"), 2, "cannot be compared", words)


def test_what_is_no_comparison(home: Path, call: Call) -> None:
    make_seeds(home, "r20", 0.12)
    make_run(home, "new", None, model__depth=32)
    assert_refused(call("compare", "r20-0"), 2, "two or more")
    assert_refused(call("compare", "r20-0", "r20-1"), 2, "stand together", "--alone")
    assert_refused(call("compare", "r20-0", "r20-0", "--alone"), 2, "stand together")
    assert_refused(call("compare", "r20-0,", "r20-1"), 2, "empty place")
    assert_refused(call("compare", "r20-0", "nobody"), 102, "nobody")
    for points in ("0", "-1", "nan", "101"):
        assert_refused(call("compare", "r20-0", "new", f"--points={points}"), 2, "--points")
    command = "resnet-cluster evaluate r-00000003 --protocol single"
    assert_refused(call("compare", "r20-0", "new"), 3, "new (r-00000003) has no figure", command)
    refused = call("compare", "r20-0", "r20-1", "--alone", "--protocol", "ten-crop")
    assert_refused(refused, 3, "ten-crop-32pad4-softmax", "--protocol ten-crop")


def test_without_predictions_seeds_alone_are_compared(home: Path, call: Call) -> None:
    make_seeds(home, "r20", 0.12)
    make_seeds(home, "r56", 0.07, model__depth=56, is_kept=False)
    found = call("compare", "r20-0", "r56-0", "-o", "json")
    (pair,) = json.loads(found.out)["pairs"]
    assert pair["interval"]["over"] == "seeds"
    ids = "r-00000003 r-00000004 r-00000005"
    assert f"`resnet-cluster evaluate {ids} --protocol single` makes them" in found.err


def test_damaged_predictions_are_refused_here_too(home: Path, call: Call) -> None:
    make_seeds(home, "r20", 0.12)
    make_seeds(home, "r56", 0.07, model__depth=56)
    (path,) = (home / "runs" / "r-00000001").glob("predictions/*/*.npy")
    path.write_bytes(path.read_bytes()[:-1])
    assert_refused(call("compare", "r20-0", "r56-0"), 5, "SHA-256")


def test_seeds_that_lack_the_figure_are_told(home: Path, call: Call) -> None:
    make_seeds(home, "r20", 0.12)
    make_seeds(home, "r56", 0.07, model__depth=56)
    for run_id in ("r-00000000", "r-00000003"):
        log = EventLog(home / "runs" / run_id)
        record = log.load("run")
        log.record(make_evaluation(record, 7.0, protocol="flip-softmax"))  # type: ignore[arg-type]
    found = call("compare", "r20-0", "r56-0", "--protocol", "flip", "-o", "json")
    assert [group["n"] for group in json.loads(found.out)["groups"]] == [1, 1]
    assert "2 more seeds of r20-0 have no figure under flip-softmax" in found.err
    assert "evaluate r-00000001 r-00000002 --protocol flip` measures them" in found.err


def test_foreign_and_shortened_runs_are_marked(home: Path, call: Call) -> None:
    weights = ImportedWeights(file="x.pt", format="torch", sha256="a" * 64, weights_sha256="b" * 64)
    make_run(home, "foreign", make_wrong(1, 0.1), imported=weights)
    make_run(home, "short", make_wrong(2, 0.2), seed=1, train__shortened_from="164 epochs")
    content = compared(call, "foreign", "short")
    assert [group["marks"] for group in content["groups"]] == [
        ["trained elsewhere"],
        ["shortened from 164 epochs"],
    ]
    assert not [key for key in content["pairs"][0]["differs"] if key.startswith("train.")]
    shown = " ".join(call("compare", "foreign", "short").out.split())
    assert "trained elsewhere" in shown
    assert "shortened from" in shown


def test_names_are_shown_and_not_obeyed(home: Path, call: Call) -> None:
    evil = FACTS.model_copy(update={"name": "\x1b[31mred\u202e"})
    make_seeds(home, "r20", 0.12, dataset=evil)
    make_seeds(home, "r56", 0.07, dataset=evil, model__depth=56)
    make_run(home, "other", make_wrong(9, 0.1), is_kept=False)
    shown = call("compare", "r20-0", "r56-0").out + call("compare", "r20-0", "other").err
    assert "\\x1b[31mred\\u202e" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_torch_is_not_imported(home: Path, call: Call) -> None:
    """Its import would take longer than all the rest."""
    make_seeds(home, "r20", 0.12, seeds=[0])
    make_seeds(home, "r56", 0.07, seeds=[0], model__depth=56)
    program = """
import sys
from resnet_cluster.cli import main
sys.argv = ["resnet-cluster", "compare", "r20-0", "r56-0"]
try:
    main()
finally:
    print({"torch", "ray"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "set()"
