"""What keeps a figure of ours from standing beside the paper's: in words, or nothing.

Table 6 is taken as trained on all 50,000 training images, batch-normalised over 64 of them (128 on
two GPUs): both are the plausible reading of section 4.2, which can also be read as 45,000 images.

The paper's data set is CIFAR-10 as its makers distribute it, whose files torchvision checks by
their MD5. An archive or a folder of images is known as CIFAR-10 by its name and its counts only, so
a figure from it says that it comes from a copy: JPEG has altered the pixels, and of the other
formats nobody has checked that they have not been altered before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from resnet_cluster.report.published import TABLE_6
from resnet_cluster.results import DatasetFacts, EvaluationRecord, RunSummary
from resnet_cluster.spec import (
    DataSpec,
    ErrorWarmup,
    JobSpec,
    ModelSpec,
    StepSchedule,
    TrainSpec,
)

NUM_TRAIN_IMAGES = 50_000
NUM_TEST_IMAGES = 10_000
NUM_STEPS = 64_000
_NUM_CLASSES, _IMAGE_SIZE = 10, 32
_ORIGINAL = "pixels"
"""Encoding of the data set that torchvision reads from the files of CIFAR-10's makers."""
_NAME = re.compile(r"cifar[-_ ]?10(?!\d)", re.IGNORECASE)

PAPER = TrainSpec(
    global_batch_size=128,
    bn_group=64,
    iterations=NUM_STEPS,
    lr=0.1,
    schedule=StepSchedule(kind="step", milestones=(32_000, 48_000), gamma=0.1),
    momentum=0.9,
    weight_decay=1e-4,
    precision="off",
)
"""The recipe of section 4.2."""

PAPER_WARMUP = ErrorWarmup(kind="until_train_error", lr=0.01, below=80)
"""What it adds for 110 layers, and for 1202, trained as those; its window is not stated."""
_FEWEST_WARMED_LAYERS = 110

PLAIN_CHOICES = {
    "global_batch_size": "batch {ours}, not {paper}",
    "bn_group": "batch normalisation over {ours} images, not {paper}",
    "lr": "learning rate {ours:g}, not {paper:g}",
    "momentum": "momentum {ours:g}, not {paper:g}",
    "nesterov": "Nesterov's momentum",
    "weight_decay": "weight decay {ours:g}, not {paper:g}",
    "decay_bn_and_bias": "no decay of batch normalisation and biases",
    "label_smoothing": "label smoothing {ours:g}",
    "precision": "{ours} precision",
}
"""Keys of the recipe that differ or do not, and how that is said."""


def is_cifar10(dataset: DatasetFacts) -> bool:
    """Whether a data set goes by the name of CIFAR-10 and has its classes and its size."""
    named = _NAME.search(dataset.name) or _NAME.search(dataset.source)
    shape = (dataset.num_classes, dataset.image_size)
    return bool(named) and shape == (_NUM_CLASSES, _IMAGE_SIZE)


def is_original(dataset: DatasetFacts) -> bool:
    """Whether a data set is CIFAR-10 from its makers' own files."""
    return is_cifar10(dataset) and dataset.encoding == _ORIGINAL


def differences(run: RunSummary, evaluation: EvaluationRecord | None) -> tuple[str, ...]:
    """What differs between a run's figure and the paper's in Table 6; empty where nothing does.

    Args:
        run: the run.
        evaluation: the figure; None asks about the run as it was planned, before it has one.
    """
    if not is_cifar10(run.dataset):
        return (f"data set {run.dataset.name}, not CIFAR-10",)
    return (
        *_of_model(run.job.model),
        *_of_length(run, evaluation),
        *_of_dataset(run.dataset),
        *_of_transforms(run.job.data),
        *_of_recipe(run.job.train, run.job.model.depth),
        *_of_evaluation(run.job, evaluation),
    )


def trained_steps(run: RunSummary, evaluation: EvaluationRecord | None) -> int:
    """Steps of the training behind a figure: selected weights may be older than its end."""
    if evaluation is not None and evaluation.select == "final":
        return evaluation.step
    return run.record.num_steps


def _of_model(model: ModelSpec) -> Iterator[str]:
    if model.shortcut == "none":
        yield "Table 6 has no plain nets"
    elif model.family != "cifar":
        yield "ImageNet's network, not CIFAR's"
    elif model.depth not in {row.depth for row in TABLE_6}:
        yield f"Table 6 has no {model.depth} layers"
    elif model.shortcut != "A":
        yield f"shortcut {model.shortcut}, not A"
    if model.blur_pool:
        yield "BlurPool"


def _of_length(run: RunSummary, evaluation: EvaluationRecord | None) -> Iterator[str]:
    steps = trained_steps(run, evaluation)
    batch = run.job.train.global_batch_size
    # Compared by images seen: another batch size is said on its own. Less than an epoch is the
    # rounding between the paper's iterations and whole epochs.
    paper_images = NUM_STEPS * PAPER.global_batch_size
    if abs(steps * batch - paper_images) < run.dataset.num_train_images:
        return
    ours = f"{steps / run.record.steps_per_epoch:.3g}"
    paper = f"{paper_images / run.dataset.num_train_images:.0f}"
    is_shorter = steps * batch < paper_images
    yield f"{ours} of {paper} epochs" if is_shorter else f"{ours} epochs, not {paper}"


def _of_dataset(dataset: DatasetFacts) -> Iterator[str]:
    if not is_original(dataset):
        formats = dataset.encoding.upper()
        yield "JPEG copy" if formats == "JPEG" else f"{formats} copy, its pixels unchecked"
    if dataset.num_train_images != NUM_TRAIN_IMAGES:
        yield f"{dataset.num_train_images:,} of {NUM_TRAIN_IMAGES:,} training images"
    if dataset.num_test_images != NUM_TEST_IMAGES:
        yield f"{dataset.num_test_images:,} of {NUM_TEST_IMAGES:,} test images"


def _of_transforms(data: DataSpec) -> Iterator[str]:
    if data.crop:
        yield f"{data.crop.kind.replace('_', ' ')} crops, not padding 4"
    elif data.augment.pad != 4:
        yield f"padding {data.augment.pad}, not 4"
    if data.view:
        yield f"measured on a centre of {data.view.size} after a resize to {data.view.resize}"
    if data.augment.color != "none":
        yield "colours augmented"
    if not data.augment.flip:
        yield "no flips"
    if data.normalize == "channel_mean":
        yield "mean colour subtracted, not the mean image"
    elif data.normalize == "channel_mean_std":
        yield "mean colour subtracted and divided by its deviation, not the mean image"


def _of_recipe(train: TrainSpec, depth: int) -> Iterator[str]:
    for key, words in PLAIN_CHOICES.items():
        ours, paper = getattr(train, key), getattr(PAPER, key)
        if ours != paper:
            yield words.format(ours=ours, paper=paper)
    yield from _of_schedule(train)
    warmup = train.warmup
    if depth < _FEWEST_WARMED_LAYERS:
        if warmup is not None:
            yield "warm-up"
    elif warmup is None:
        yield "no warm-up"
    elif not isinstance(warmup, ErrorWarmup):
        yield f"{warmup.kind} warm-up"
    elif (warmup.lr, warmup.below) != (PAPER_WARMUP.lr, PAPER_WARMUP.below):
        yield (
            f"warm-up at {warmup.lr:g} until below {warmup.below:g} %, "
            f"not {PAPER_WARMUP.lr:g} and {PAPER_WARMUP.below:g} %"
        )


def _of_schedule(train: TrainSpec) -> Iterator[str]:
    schedule, paper = train.schedule, PAPER.schedule
    assert isinstance(paper, StepSchedule)
    if not isinstance(schedule, StepSchedule):
        yield f"{schedule.kind} schedule, not step"
        return
    if schedule.gamma != paper.gamma:
        yield f"rate multiplied by {schedule.gamma:g} at a drop, not {paper.gamma:g}"
    # In shares of the length: a shortened run keeps the shape of its schedule.
    ours, theirs = _shares(schedule, train), _shares(paper, PAPER)
    epoch = NUM_TRAIN_IMAGES / (NUM_STEPS * PAPER.global_batch_size)
    is_same = len(ours) == len(theirs) and all(
        abs(mine - their) < epoch for mine, their in zip(ours, theirs, strict=True)
    )
    if not is_same:
        yield f"rate drops at {_percent(ours)}, not {_percent(theirs)}"


def _shares(schedule: StepSchedule, train: TrainSpec) -> list[float]:
    length = train.iterations if train.epochs is None else train.epochs
    assert length is not None
    return [milestone / length for milestone in schedule.milestones]


def _percent(shares: list[float]) -> str:
    return " and ".join(f"{100 * share:.3g} %" for share in shares) or "no point"


def _of_evaluation(job: JobSpec, evaluation: EvaluationRecord | None) -> Iterator[str]:
    if (evaluation.select if evaluation else job.evaluate.select) != "final":
        yield "weights selected on the hold-out"
    if evaluation.ema if evaluation else job.train.ema is not None:
        yield "moving average of the weights"
    if evaluation and evaluation.protocol != "single":
        yield f"protocol {evaluation.protocol}, not the single view"
    if evaluation and evaluation.split != "test":
        yield f"{evaluation.split} split, not test"
