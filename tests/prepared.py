"""Prepared data sets for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from resnet_cluster.data import prepare


def prepare_digits(folder: Path, *, image_size: int) -> Path:
    """All of scikit-learn's 1,797 handwritten digits: the folder of the prepared data set."""
    return _prepare("digits", folder, image_size=image_size)


def prepare_few_digits(folder: Path, *, num_train: int, num_test: int) -> Path:
    """The first of them, in their original 8x8, from a tree of files."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    for place in range(num_train + num_test):
        split = "train" if place < num_train else "test"
        path = folder / "images" / split / str(digits.target[place]) / f"{place:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[place]).save(path)
    return _prepare(str(folder / "images"), folder)


def with_other_test_set(dataset: Path, copy: Path) -> Path:
    """A copy of a data set that is tested on images it trains on: only the test set differs."""
    shutil.copytree(dataset, copy)
    shutil.copy(dataset / "train.beton", copy / "test.beton")
    return copy


def _prepare(source: str, folder: Path, *, image_size: int | None = None) -> Path:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RESNET_CLUSTER_DATA", str(folder / "data"))
        prepare(source, name="digits", image_size=image_size)
    return folder / "data" / "digits"
