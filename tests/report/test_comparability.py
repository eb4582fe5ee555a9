"""What may stand beside the paper's figures, and in which words the rest is kept from them."""

from __future__ import annotations

from typing import Any

import pytest
from factories import CIFAR10, DIGITS, PAPER_WARMUP
from fixture_types import MakeRun

from resnet_cluster.report import differences
from resnet_cluster.report.comparability import PLAIN_CHOICES
from resnet_cluster.report.experiments import CIFAR10 as PAPER_CIFAR10
from resnet_cluster.results import EvaluationRecord, RunSummary
from resnet_cluster.spec import TrainSpec, load_job, shipped_jobs

DEEP = {"model.depth": 110, "train.warmup": PAPER_WARMUP}
COSINE = {"train.schedule": {"kind": "cosine"}}
SELECTED = {"data.holdout": 5000, "evaluate.select": "best_holdout"}
HELD_OUT = CIFAR10.model_copy(update={"num_train_images": 45_000, "num_holdout_images": 5_000})


def measured(run: RunSummary) -> tuple[str, ...]:
    return differences(run, run.evaluations[0])


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_the_papers_runs_differ_in_nothing(make_run: MakeRun, depth: int) -> None:
    assert measured(make_run({"model.depth": depth, "seed": 7, "name": "any"}, 8.7)) == ()


@pytest.mark.parametrize("depth", [110, 1202])
def test_the_papers_deep_runs_warm_up(make_run: MakeRun, depth: int) -> None:
    assert measured(make_run(DEEP | {"model.depth": depth}, 6.5)) == ()
    assert measured(make_run({"model.depth": depth}, 6.5)) == ("no warm-up",)


@pytest.mark.parametrize(
    ("job", "depth"), [("cifar10_r20", 20), ("cifar10_r110", 110), ("cifar10_r110", 1202)]
)
def test_the_shipped_jobs_are_the_papers(make_run: MakeRun, job: str, depth: int) -> None:
    (path,) = [path for path in shipped_jobs() if path.stem == job]
    spec = load_job(path, overrides=[f"model.depth={depth}"]).spec
    sections = spec.model_dump(mode="json")
    run = make_run({name: sections[name] for name in ("model", "data", "train", "evaluate")}, 8.0)
    assert run.job.train == spec.train
    assert measured(run) == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train.global_batch_size": 256}, "batch 256, not 128"),
        ({"train.bn_group": 128}, "batch normalisation over 128 images, not 64"),
        ({"train.lr": 0.2}, "learning rate 0.2, not 0.1"),
        ({"train.momentum": 0.8}, "momentum 0.8, not 0.9"),
        ({"train.nesterov": True}, "Nesterov's momentum"),
        ({"train.weight_decay": 5e-4}, "weight decay 0.0005, not 0.0001"),
        ({"train.decay_bn_and_bias": False}, "no decay of batch normalisation and biases"),
        ({"train.label_smoothing": 0.1}, "label smoothing 0.1"),
        ({"train.ema": {"decay": 0.999}}, "moving average of the weights"),
        ({"train.precision": "bf16"}, "bf16 precision"),
        (COSINE, "cosine schedule, not step"),
        ({"train.schedule.gamma": 0.2}, "rate multiplied by 0.2 at a drop, not 0.1"),
        ({"train.schedule.milestones": []}, "rate drops at no point, not 50 % and 75 %"),
        (
            {"train.schedule.milestones": [32_000, 56_000]},
            "rate drops at 50 % and 87.5 %, not 50 % and 75 %",
        ),
        ({"train.warmup": PAPER_WARMUP}, "warm-up"),
        (DEEP | {"train.warmup": {"kind": "linear", "length": 400}}, "linear warm-up"),
        (
            DEEP | {"train.warmup": PAPER_WARMUP | {"below": 70}},
            "warm-up at 0.01 until below 70 %, not 0.01 and 80 %",
        ),
        ({"data.augment.pad": 2}, "padding 2, not 4"),
        ({"data.augment.flip": False}, "no flips"),
        ({"data.normalize": "channel_mean"}, "mean colour subtracted, not the mean image"),
        (
            {"data.normalize": "channel_mean_std"},
            "mean colour subtracted and divided by its deviation, not the mean image",
        ),
        (
            {"data.normalize": "torchvision"},
            "normalised by torchvision's constants, not the mean image",
        ),
        ({"model.shortcut": "B"}, "shortcut B, not A"),
        ({"model.shortcut": "none"}, "Table 6 has no plain nets"),
        ({"model.depth": 26}, "Table 6 has no 26 layers"),
        (
            {"model.family": "imagenet", "model.depth": 18},
            "ImageNet's network, not CIFAR's",
        ),
    ],
)
def test_one_change_is_one_difference(
    make_run: MakeRun, changes: dict[str, Any], says: str
) -> None:
    if "train.global_batch_size" in changes:  # as many images seen
        changes = changes | {"train.iterations": 32_000}
        changes["train.schedule.milestones"] = [16_000, 24_000]
    assert measured(make_run(changes, 8.7)) == (says,)


def shortened(iterations: int) -> dict[str, Any]:
    """As `--set train.iterations=N`: the milestones keep their shares."""
    milestones = [iterations * 0.5, iterations * 0.75]
    return {"train.iterations": iterations, "train.schedule.milestones": milestones}


@pytest.mark.parametrize(
    ("iterations", "says"),
    [
        (780, "2 of 164 epochs"),
        (195, "0.5 of 164 epochs"),
        (3, "0.00769 of 164 epochs"),
        (63_000, "162 of 164 epochs"),
        (128_000, "328 epochs, not 164"),
    ],
)
def test_another_length_is_said_in_epochs(make_run: MakeRun, iterations: int, says: str) -> None:
    assert measured(make_run(shortened(iterations), 60.0)) == (says,)


def test_whole_epochs_are_as_long_as_the_papers_iterations(make_run: MakeRun) -> None:
    length = {"train.iterations": None, "train.epochs": 164.0}
    run = make_run(length | {"train.schedule.milestones": [82, 123]}, 8.7)
    assert run.record.num_steps == 164 * 390
    assert measured(run) == ()


def test_a_figure_of_an_earlier_step_is_of_a_shorter_training(make_run: MakeRun) -> None:
    run = make_run(None, 30.0)
    early = run.evaluations[0].model_copy(update={"step": 3900})
    assert differences(run, early) == ("10 of 164 epochs",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoding": "jpeg"}, ("JPEG copy",)),
        ({"encoding": "png"}, ("PNG copy, its pixels unchecked",)),
        ({"encoding": "jpeg+png"}, ("JPEG+PNG copy, its pixels unchecked",)),
        (
            {"num_train_images": 45_000, "num_holdout_images": 5_000},
            ("45,000 of 50,000 training images",),
        ),
        ({"num_test_images": 1000}, ("1,000 of 10,000 test images",)),
        ({"name": "mine"}, ()),
        ({"name": "mine", "source": "pictures"}, ("data set mine, not CIFAR-10",)),
        ({"num_classes": 100}, ("data set cifar10, not CIFAR-10",)),
        ({"image_size": 28}, ("data set cifar10, not CIFAR-10",)),
    ],
)
def test_the_data_set_must_be_the_papers(
    make_run: MakeRun, changes: dict[str, Any], says: tuple[str, ...]
) -> None:
    dataset = CIFAR10.model_copy(update=changes)
    assert measured(make_run(None, 8.7, dataset=dataset)) == says


@pytest.mark.parametrize(
    ("name", "is_named"),
    [
        ("cifar10", True),
        ("cifar-10-batches-py", True),
        ("CIFAR_10", True),
        ("cifar10-images.tar.xz", True),
        ("cifar100", False),
        ("cifar-100-python", False),
        ("digits", False),
    ],
)
def test_cifar10_goes_by_its_name(name: str, is_named: bool) -> None:
    dataset = CIFAR10.model_copy(update={"name": "x", "source": name})
    assert PAPER_CIFAR10.holds(dataset) is is_named


def test_selected_weights_are_not_the_last(make_run: MakeRun) -> None:
    run = make_run(SELECTED, 8.7, dataset=HELD_OUT)
    early = run.evaluations[0].model_copy(update={"step": 60_000})
    assert differences(run, early) == measured(run)
    assert measured(run)[1:] == ("weights selected on the hold-out",)


def test_another_data_set_has_no_published_figure(make_run: MakeRun) -> None:
    run = make_run(COSINE, 1.9, dataset=DIGITS)
    assert measured(run) == ("data set digits, not CIFAR-10",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"protocol": "ten_crop"}, "protocol ten_crop, not the single view"),
        ({"split": "holdout"}, "holdout split, not test"),
    ],
)
def test_the_protocol_must_be_the_papers(
    make_run: MakeRun, changes: dict[str, str], says: str
) -> None:
    run = make_run(None, 8.7)
    other: EvaluationRecord = run.evaluations[0].model_copy(update=changes)
    assert differences(run, other) == (says,)


def test_all_differences_are_said(make_run: MakeRun) -> None:
    jpeg = CIFAR10.model_copy(update={"encoding": "jpeg"})
    run = make_run(shortened(780) | {"train.precision": "bf16"}, 55.0, dataset=jpeg)
    assert measured(run) == ("2 of 164 epochs", "JPEG copy", "bf16 precision")


def test_a_run_can_be_judged_before_it_has_a_figure(make_run: MakeRun) -> None:
    assert differences(make_run(None), None) == ()
    selected = make_run(SELECTED, dataset=HELD_OUT)
    assert differences(selected, None) == (
        "45,000 of 50,000 training images",
        "weights selected on the hold-out",
    )
    ema = make_run({"train.ema": {"decay": 0.9}})
    assert differences(ema, None) == ("moving average of the weights",)


def test_no_choice_of_a_recipe_is_overlooked() -> None:
    judged_otherwise = {"epochs", "iterations", "schedule", "warmup", "ema"}
    changes_no_result = {"channels_last", "compile", "shortened_from"}
    known = PLAIN_CHOICES.keys() | judged_otherwise | changes_no_result
    assert known == TrainSpec.model_fields.keys()
