"""The paper's two experiments as data: what a run must share to stand beside their figures.

CIFAR-10 (section 4.2). Table 6 is taken as trained on all 50,000 training images, batch-normalised
over 64 of them (128 on two GPUs): both are the plausible reading, which can also be that of 45,000
images. The data set is CIFAR-10 as its makers distribute it, whose files torchvision checks by
their MD5. An archive or a folder of images is known as CIFAR-10 by its name and its counts only, so
a figure from it says that it comes from a copy: JPEG has altered the pixels, and of the other
formats nobody has checked that they have not been altered before.

ImageNet (section 3.4). The paper does not state which error a plateau is watched on, how many
images are normalised together, nor the softmax or logits that testing averages. Of the first two
anything goes; of the third the softmax is taken, as Krizhevsky et al. averaged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from resnet_cluster.report.published import PUBLISHED, Dataset, Protocol, Published
from resnet_cluster.results import DatasetFacts
from resnet_cluster.spec import (
    AugmentSpec,
    DataSpec,
    ErrorWarmup,
    Family,
    ModelSpec,
    PaperNetSpec,
    PlateauSchedule,
    ShorterSideJitterSpec,
    StepSchedule,
    TrainSpec,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """One of the paper's two, each equal to itself only: its data set, recipe and protocols."""

    dataset: Dataset
    family: Family
    name: re.Pattern[str]
    """Found in a data set's name, or in that of its source."""
    num_classes: int
    image_size: int | None
    """None where images are of many sizes."""
    original: str
    """Encoding of the data set as its makers distribute it."""
    num_train_images: int
    num_test_images: int
    other_readings: frozenset[int]
    """Numbers of training images that the paper's text can also mean."""
    train: TrainSpec
    data: DataSpec
    unstated: frozenset[str]
    """Keys of the recipe that the paper says nothing of."""
    warmup: ErrorWarmup | None
    """What deep nets begin with, from `fewest_warmed_layers` on."""
    fewest_warmed_layers: int
    protocols: Mapping[str, Protocol]
    """Identities of ours that are the paper's."""
    protocols_text: str

    @property
    def rows(self) -> tuple[Published, ...]:
        """Every published figure on the data set."""
        return tuple(
            row for rows in PUBLISHED.values() for row in rows if row.dataset == self.dataset
        )

    def rows_of(self, model: ModelSpec) -> tuple[Published, ...]:
        """Those of a network of ours."""
        if not isinstance(model, PaperNetSpec) or model.family != self.family:
            return ()
        wanted = (model.depth, model.shortcut)
        return tuple(row for row in self.rows if (row.depth, row.shortcut) == wanted)

    def holds(self, dataset: DatasetFacts) -> bool:
        """Whether a data set goes by the name, and has the classes and the size."""
        named = self.name.search(dataset.name) or self.name.search(dataset.source)
        fits = self.image_size in (None, dataset.image_size)
        return bool(named) and fits and dataset.num_classes == self.num_classes

    def is_original(self, dataset: DatasetFacts) -> bool:
        """Whether it is as its makers distribute it."""
        return self.holds(dataset) and dataset.encoding == self.original


CIFAR10 = Experiment(
    dataset="CIFAR-10",
    family="cifar",
    name=re.compile(r"cifar[-_ ]?10(?!\d)", re.IGNORECASE),
    num_classes=10,
    image_size=32,
    original="pixels",
    num_train_images=50_000,
    num_test_images=10_000,
    other_readings=frozenset({45_000}),
    train=TrainSpec(
        global_batch_size=128,
        bn_group=64,
        iterations=64_000,
        lr=0.1,
        schedule=StepSchedule(kind="step", milestones=(32_000, 48_000), gamma=0.1),
        momentum=0.9,
        weight_decay=1e-4,
        precision="off",
    ),
    data=DataSpec(name="cifar10", augment=AugmentSpec(pad=4, flip=True), normalize="pixel_mean"),
    unstated=frozenset(),
    warmup=ErrorWarmup(kind="until_train_error", lr=0.01, below=80),
    fewest_warmed_layers=110,
    protocols={"single": "single"},
    protocols_text="the single view",
)

IMAGENET = Experiment(
    dataset="ImageNet",
    family="imagenet",
    name=re.compile(r"imagenet|ilsvrc", re.IGNORECASE),
    num_classes=1000,
    image_size=None,
    original="jpeg",
    num_train_images=1_281_167,
    num_test_images=50_000,
    other_readings=frozenset(),
    train=TrainSpec(
        global_batch_size=256,
        bn_group=32,
        iterations=600_000,
        lr=0.1,
        schedule=PlateauSchedule(kind="plateau", on="train"),
        momentum=0.9,
        weight_decay=1e-4,
        precision="off",
    ),
    data=DataSpec(
        name="imagenet",
        crop=ShorterSideJitterSpec(kind="shorter_side_jitter", size=224),
        augment=AugmentSpec(pad=0, flip=True, color="pca"),
        normalize="pixel_mean",
    ),
    unstated=frozenset({"bn_group"}),
    warmup=None,
    fewest_warmed_layers=10**9,
    protocols={
        "ten-crop-224of256-softmax": "10-crop",
        "multi-scale-224-256-384-480-640-softmax": "multi-scale",
    },
    protocols_text="10-crop (224 of 256) or multi-scale (224 to 640)",
)

EXPERIMENTS = (CIFAR10, IMAGENET)


def experiment_of(dataset: DatasetFacts) -> Experiment | None:
    """The paper's experiment on a data set; None for any other data set."""
    return next((each for each in EXPERIMENTS if each.holds(dataset)), None)


def experiment_on(dataset: Dataset) -> Experiment:
    """The experiment behind a published figure."""
    return next(each for each in EXPERIMENTS if each.dataset == dataset)
