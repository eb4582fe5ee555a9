"""What a conversion will make, known before its first image is written."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.chunks import count_threads
from resnet_cluster.data.decode import opened_image, square_pixels
from resnet_cluster.data.encoding import Encoding, Form, Squares
from resnet_cluster.data.imagenet_labels import is_imagenet
from resnet_cluster.data.manifest_fields import SPLIT_NAMES, SplitName
from resnet_cluster.data.request import ConversionRequest, PreparationPlan
from resnet_cluster.data.sources import Example, Source
from resnet_cluster.data.splits import split_holdout
from resnet_cluster.data.writer import squares_bytes
from resnet_cluster.errors import IntegrityError, UsageError

TEST_SHARE = 5
"""One image in five is held out of a source that has no test split."""
AS_IT_COMES = Encoding(mode="jpg")
"""The form of ImageNet's photographs where none is asked for: the bytes of the originals."""
NUM_TRIED = 32
"""Images that are encoded to estimate the time and the disk that all will take."""


@dataclass(frozen=True)
class Splits:
    """The images of each split.

    Attributes:
        test: whether the source had a test split, or one was held out.
    """

    examples: Mapping[SplitName, Sequence[Example]]
    test: Literal["source", "holdout"]

    @property
    def num_images(self) -> int:
        """Images of both."""
        return sum(map(len, self.examples.values()))


def choose_splits(source: Source, request: ConversionRequest) -> Splits:
    """The splits of a source, one made of its training images where it has no test split.

    Raises:
        UsageError: it has too few images for one.
    """
    if "test" in source.splits:
        return Splits(_limited(source.splits, request.limit), "source")
    examples = source.splits["train"]
    labels = np.asarray([example.label for example in examples], np.int64)
    train, test = split_holdout(labels, round(len(labels) / TEST_SHARE), request.seed)
    if len(test) == 0 or len(np.unique(labels[train])) < len(source.classes):
        raise UsageError(
            f"{source.description}: has too few images to hold out a test split",
            mend="add images, or lay them out as train/<class>/<image> and test/<class>/<image>",
        )
    whole: dict[SplitName, Sequence[Example]] = {
        "train": [examples[place] for place in train],
        "test": [examples[place] for place in test],
    }
    return Splits(_limited(whole, request.limit), "holdout")


def form_of(source: Source, splits: Splits, request: ConversionRequest) -> Form:
    """How the images will be kept.

    Raises:
        IntegrityError: no image can be decoded; the first one, where such images are to fail.
        UsageError: they are not square, and no size was asked for.
    """
    if request.encoding is not None:
        return request.encoding
    if request.size is not None:
        return Squares(size=request.size, side=request.size)
    if is_imagenet(source.classes):
        return AS_IT_COMES
    fault: IntegrityError | None = None
    for example in splits.examples["train"]:
        try:
            image, _ = opened_image(source.read(example), example.name)
            return Squares(size=None, side=len(square_pixels(image, example.name, None)))
        except IntegrityError as error:
            fault = fault or error
            if request.on_bad == "fail":
                break
    assert fault is not None
    raise fault


def estimate(
    source: Source, splits: Splits, form: Form, request: ConversionRequest
) -> PreparationPlan:
    """The plan; time and disk are estimated from a few images, bad ones left aside."""
    began = time.monotonic()
    stored_bytes: list[int] = []
    for example in _evenly(splits.examples["train"], NUM_TRIED):
        try:
            encoded = form.encode(source.read(example), example.name, len(stored_bytes))
            stored_bytes.append(len(encoded.stored.content))
        except IntegrityError:
            continue
    seconds = time.monotonic() - began
    num_each = [len(splits.examples[split]) for split in SPLIT_NAMES]
    padding = len(num_each) * form.page_bytes
    num_bytes = round(splits.num_images * float(np.mean(stored_bytes or [0]))) + padding
    if isinstance(form, Squares):
        num_bytes = sum(squares_bytes(number, form.side) for number in num_each)
    each_s = seconds / len(stored_bytes) if stored_bytes else None
    return PreparationPlan(
        recognised=source.recognised,
        num_train=num_each[0],
        num_test=num_each[1],
        num_classes=len(source.classes),
        num_unseen_classes=len(source.classes)
        - len({example.label for example in splits.examples["train"]}),
        test_split=splits.test,
        form=form.words,
        num_bytes=num_bytes,
        free_bytes=shutil.disk_usage(request.folder).free,
        num_ignored=source.num_ignored,
        duration_s=each_s and splits.num_images * each_s / count_threads(),
    )


def _limited(
    splits: Mapping[SplitName, Sequence[Example]], limit: int | None
) -> Mapping[SplitName, Sequence[Example]]:
    if limit is None:
        return splits
    return {split: _evenly(examples, limit) for split, examples in splits.items()}


def _evenly(examples: Sequence[Example], number: int) -> Sequence[Example]:
    """So many of the examples, evenly spread: those of a class lie together."""
    if len(examples) <= number:
        return examples
    places: NDArray[np.int64] = np.linspace(0, len(examples) - 1, number).round().astype(np.int64)
    return [examples[place] for place in places]
