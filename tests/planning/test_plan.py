"""Plans against the paper's figures, arithmetic done another way, and a real checkpoint's size."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from factories import IMAGENET_FACTS
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_cluster.errors import JobError
from resnet_cluster.nets import build_net
from resnet_cluster.planning import DataFacts, Plan, plan
from resnet_cluster.spec import LoadedJob, load_job, run_key

JOBS = Path(__file__).resolve().parents[2] / "jobs"
DIGITS_JOB = JOBS / "digits_r20.yaml"
CIFAR10 = DataFacts(
    sha256="c" * 64, num_classes=10, image_size=32, num_train_images=50_000, num_test_images=10_000
)
DIGITS = DataFacts(
    sha256="d" * 64, num_classes=10, image_size=32, num_train_images=1_437, num_test_images=360
)


PHOTOS = IMAGENET_FACTS
CROPPED = ["data.augment.pad=0", "data.crop={kind: shorter_side_jitter, size: 224}"]
VIEWED = [*CROPPED, "data.view={resize: 256, size: 224}"]


def loaded(name: str, *overrides: str, **flags: Any) -> LoadedJob:
    return load_job(JOBS / f"{name}.yaml", overrides=overrides, **flags)


def planned(name: str, *overrides: str, data: DataFacts = CIFAR10, **flags: Any) -> Plan:
    job, source = loaded(name, *overrides, **flags)
    return plan(job, data, source=source)


def test_the_papers_run() -> None:
    """Section 4.2: 0.27M parameters, 64k iterations, drops at 32k and 48k, 50k images."""
    got = planned("cifar10_r20")
    assert round(got.num_parameters / 1e6, 2) == 0.27
    stem, classifier = 32 * 32 * 9 * 3 * 16, 64 * 10
    stages = [size * size * 9 * width * width for size, width in ((32, 16), (16, 32), (8, 64))]
    assert got.flops == stem + 6 * stages[0] + 5.5 * (stages[1] + stages[2]) + classifier
    assert (got.num_train_images, got.num_holdout_images, got.num_test_images) == (
        50_000,
        0,
        10_000,
    )
    assert (got.num_steps, got.steps_per_epoch, got.num_epochs) == (64_000, 390, 165)
    assert got.milestones == (32_000, 48_000)
    assert (got.global_batch_size, got.bn_group, got.micro_batches) == (128, 64, 2)
    assert got.batch_size_per_worker == 128
    assert got.key == run_key(loaded("cifar10_r20").spec, CIFAR10.sha256)


def test_two_epochs_of_it_on_two_workers() -> None:
    got = planned("cifar10_r20", "train.epochs=2", workers=2)
    assert (got.num_steps, got.num_epochs, got.milestones) == (780, 2, (390, 585))
    assert got.micro_batches_per_worker == (1, 1)
    assert got.batch_size_per_worker == 64


def test_a_holdout_of_the_paper() -> None:
    got = planned("cifar10_r20", "data.holdout=5000")
    assert (got.num_train_images, got.num_holdout_images) == (45_000, 5_000)
    assert (got.steps_per_epoch, got.num_epochs) == (351, 183)


def test_the_demo() -> None:
    got = planned("digits_r20", data=DIGITS)
    assert (got.steps_per_epoch, got.num_steps, got.resources.workers) == (22, 132, 2)


def test_classes_count_in_the_parameters() -> None:
    hundred = DataFacts(
        sha256="f" * 64,
        num_classes=100,
        image_size=32,
        num_train_images=50_000,
        num_test_images=10_000,
    )
    grown = planned("cifar10_r20", data=hundred).num_parameters
    assert grown - planned("cifar10_r20").num_parameters == 90 * (64 + 1)


@pytest.mark.parametrize(
    ("gpu", "has_gpu", "gpus"),
    [("auto", False, 0), ("auto", True, 1), ("yes", False, 1), ("no", True, 0)],
)
def test_gpus(gpu: str, has_gpu: bool, gpus: int) -> None:
    job = loaded("cifar10_r20", f"resources.gpu={gpu}").spec
    assert plan(job, CIFAR10, has_gpu=has_gpu).resources.gpus_per_worker == gpus


def shares_by_dealing(num_micro_batches: int, workers: int) -> Sequence[int]:
    """Micro-batch m belongs to the worker within whose share of the step it begins."""
    hands = [0] * workers
    for place in range(num_micro_batches):
        owner = next(w for w in range(workers) if place < (w + 1) * num_micro_batches // workers)
        hands[owner] += 1
    return hands


@settings(max_examples=25, deadline=None)
@given(group=st.integers(2, 40), micro_batches=st.integers(1, 12), data=st.data())
def test_shares(group: int, micro_batches: int, data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, micro_batches))
    batch = f"train.global_batch_size={group * micro_batches}"
    got = planned("cifar10_r20", batch, f"train.bn_group={group}", workers=workers)
    assert list(got.micro_batches_per_worker) == shares_by_dealing(micro_batches, workers)
    assert got.micro_batches == micro_batches
    assert got.batch_size_per_worker == max(got.micro_batches_per_worker) * group
    assert got.steps_per_epoch == sum(
        1 for _ in range(0, 50_000 - batch_size(got) + 1, batch_size(got))
    )


def batch_size(got: Plan) -> int:
    return got.bn_group * got.micro_batches


@pytest.mark.parametrize("depth", [20, 56])
def test_checkpoints_are_about_as_large_as_planned(depth: int) -> None:
    net = build_net(family="cifar", depth=depth, shortcut="A", variant="v1", num_classes=10)
    momentum = [torch.zeros_like(parameter) for parameter in net.parameters()]
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "momentum": momentum}, file)
    got = planned("cifar10_r20", f"model.depth={depth}")
    assert got.checkpoint_bytes == pytest.approx(file.getbuffer().nbytes, rel=0.1)
    assert got.storage_bytes > 3 * got.checkpoint_bytes + got.predictions_bytes


def test_an_average_and_a_best_make_checkpoints_larger() -> None:
    plain = planned("cifar10_r20").checkpoint_bytes
    averaged = planned("cifar10_r20", "train.ema.decay=0.9").checkpoint_bytes
    both = planned(
        "cifar10_r20", "train.ema.decay=0.9", "data.holdout=500", "evaluate.select=best_holdout"
    ).checkpoint_bytes
    assert (2 * averaged, 2 * both) == (3 * plain, 4 * plain)


@pytest.mark.parametrize(
    ("overrides", "data", "message", "mend"),
    [
        (
            ["model.depth=21"],
            CIFAR10,
            "--set model.depth=21: there is no CIFAR net of depth 21",
            "20 or 26",
        ),
        (
            ["model.family=imagenet", "model.depth=42"],
            CIFAR10,
            "--set model.depth=42: there is no ImageNet net of depth 42",
            "50",
        ),
        (["model.variant=v1.5"], CIFAR10, "--set model.variant=v1.5: ", "v1"),
        (
            ["train.global_batch_size=1440"],
            DIGITS,
            "--set train.global_batch_size=1440: 1437 training images do not fill",
            "1437 or less",
        ),
        (
            ["data.holdout=49999"],
            CIFAR10,
            "--set data.holdout=49999: a hold-out of 49999 images of 50000 leaves less",
            "from 10 to 49936",
        ),
        (
            ["data.holdout=9"],
            CIFAR10,
            "--set data.holdout=9: a hold-out of 9 images of 50000 cannot have one of each",
            "from 10 to 49936",
        ),
        (
            ["data.holdout=9", "train.global_batch_size=1408"],
            DIGITS,
            "--set data.holdout=9: ",
            "from 10 to 29",
        ),
        (
            ["data.holdout=12", "train.global_batch_size=1432", "train.bn_group=2"],
            DIGITS,
            "--set data.holdout=12: ",
            "set data.holdout to 0",
        ),
        (
            [],
            PHOTOS,
            f"{DIGITS_JOB}:13: digits holds images of many sizes, and the job has no data.crop",
            "crop: {kind",
        ),
        (CROPPED, PHOTOS, f"{DIGITS_JOB}:13: digits holds images of many", "view: {resize: 256"),
        (
            [*CROPPED, "data.view={resize: 320, size: 256}"],
            PHOTOS,
            f"{DIGITS_JOB}:13: the mean image of digits has 224x224 pixels, and it would be "
            "subtracted from images of 256",
            "channel_mean",
        ),
        (
            [*VIEWED, "data.augment.color=pca"],
            dataclasses.replace(PHOTOS, has_covariance=False),
            "--set data.augment.color=pca: the covariance of digits's colours is not known",
            "prepare it again",
        ),
        (
            ["data.view={resize: 40, size: 36}"],
            CIFAR10,
            f"{DIGITS_JOB}:13: the mean image of digits has 32x32",
            "channel_mean",
        ),
        (
            ["resources.workers=3"],
            CIFAR10,
            "--set resources.workers=3: 3 workers share 2 micro-batches a step",
            "--workers 2",
        ),
    ],
)
def test_refusals(overrides: list[str], data: DataFacts, message: str, mend: str) -> None:
    with pytest.raises(JobError) as caught:
        planned("digits_r20", *overrides, data=data)
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(message)
    assert mend in caught.value.mend


def test_photographs_are_seen_as_the_job_says() -> None:
    got = planned("digits_r20", *VIEWED, "data.augment.color=pca", data=PHOTOS)
    assert (got.image_size, got.train_sizes) == (224, (224,))
    assert got.loader_bytes == 5 * 32 * 3 * 224 * 224


def test_crops_that_grow() -> None:
    grow = "grow: {from_size: 96, begin: 2, end: 4}"
    got = planned(
        "digits_r20",
        "data.augment.pad=0",
        f"data.crop={{kind: random_resized, size: 160, {grow}}}",
        "data.view={resize: 256, size: 224}",
        "data.normalize=channel_mean",
        data=PHOTOS,
    )
    assert (got.image_size, got.train_sizes) == (224, (96, 128, 160))
    assert got.loader_bytes == 5 * 32 * 3 * 160 * 160
    at_32 = planned("digits_r20", data=CIFAR10)
    # All of a CIFAR net's multiply-adds but the classifier's are in proportion to the pixels.
    assert got.flops - 64 * 1000 == (at_32.flops - 640) * (224 // 32) ** 2


def test_a_refusal_names_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    text = (JOBS / "digits_r20.yaml").read_text()
    path.write_text(text.replace("depth: 20", "depth: 21"))
    line = text[: text.index("depth: 20")].count("\n") + 1
    job, source = load_job(path)
    with pytest.raises(JobError) as caught:
        plan(job, DIGITS, source=source)
    assert caught.value.message == f"{path}:{line}: there is no CIFAR net of depth 21"


def test_a_stored_job_has_no_line() -> None:
    job = loaded("digits_r20", "model.depth=21").spec
    with pytest.raises(JobError) as caught:
        plan(job, DIGITS)
    assert caught.value.message == "there is no CIFAR net of depth 21"


def test_refusals_do_not_wait_for_torch() -> None:
    probe = (
        "import sys; from resnet_cluster.planning import DataFacts, plan; "
        "from resnet_cluster.spec import load_job; "
        f"job, _ = load_job({str(JOBS / 'digits_r20.yaml')!r}, overrides=['model.depth=21']);\n"
        f"try: plan(job, {DIGITS!r})\n"
        "except Exception as error: print(type(error).__name__, *sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    kind, *modules = ran.stdout.split()
    assert kind == "JobError"
    assert not {"torch", "ray", "ffcv", "numba", "sqlalchemy"} & set(modules)


@pytest.mark.parametrize(
    ("limit_gb", "kept"),
    [(2.5, 1 + 10), (0.001, 1), (0, 0)],
)
def test_room_for_predictions_is_asked_for(limit_gb: float, kept: int) -> None:
    """An image takes 8 + 4 + 5 bytes, and each view of it 10 halves and five classes and scores."""
    got = planned(
        "cifar10_r20",
        "evaluate.protocols=[ten-crop, single]",
        f"evaluate.predictions_gb={limit_gb}",
    )
    images = {11: 2, 1: 1, 0: 0}[kept] * 17
    assert got.predictions_bytes == 10_000 * (images + kept * (20 + 5 * 8))
    assert got.storage_bytes == 3 * got.checkpoint_bytes + 4 * got.num_parameters + (
        got.predictions_bytes
    )
