"""What sources share whose classes are numbers: splits by the names of files, and class names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from resnet_cluster.data.manifest_fields import SplitName
from resnet_cluster.data.sources import Example
from resnet_cluster.data.tree import printable
from resnet_cluster.errors import IntegrityError, UsageError

MAX_CLASSES = 1_000_000
_SPLIT = re.compile(r"(?<![a-z])(train|training|validation|valid|val|test)(?![a-z])")
_TEST_WORDS = (("validation", "valid", "val"), ("test",))
"""Validation sets come first: the labels of test sets are often withheld."""


def files_by_split(files: Iterable[Path]) -> tuple[dict[SplitName, list[Path]], int]:
    """Files of the training and of the test split, by name, and how many belong to neither.

    Without a split in any name all are for training.
    """
    by_word: dict[str, list[Path]] = {}
    for path in sorted(files):
        words = _SPLIT.findall(path.name.lower())
        by_word.setdefault(words[0] if words else "", []).append(path)
    train = by_word.pop("train", []) + by_word.pop("training", [])
    if not train:
        return {"train": by_word.pop("", [])}, sum(map(len, by_word.values()))
    splits: dict[SplitName, list[Path]] = {"train": train}
    for kinds in _TEST_WORDS:
        found = [path for word in kinds for path in by_word.get(word, [])]
        if found and "test" not in splits:
            splits["test"] = found
            by_word = {word: paths for word, paths in by_word.items() if word not in kinds}
    return splits, sum(map(len, by_word.values()))


def check_label(label: int, name: str) -> int:
    """A class's number.

    Raises:
        IntegrityError: it cannot be one.
    """
    if not 0 <= label < MAX_CLASSES:
        raise IntegrityError(
            f"{printable(name)}: has the class {label}", mend="classes are numbered from 0"
        )
    return label


def named_classes(
    splits: Mapping[SplitName, Sequence[Example]], names: Sequence[str] | None, where: str
) -> tuple[str, ...]:
    """Names of the classes, or their numbers where they have none.

    Raises:
        UsageError: a class has no training images, or there are fewer than two.
        IntegrityError: there are more classes than names.
    """
    seen = {example.label for example in splits["train"]}
    highest = max((e.label for examples in splits.values() for e in examples), default=-1)
    if names is not None and highest >= len(names):
        raise IntegrityError(
            f"{where}: has the class {highest}, and names of {len(names)} classes",
            mend="see that the names are those of this data set",
        )
    classes = tuple(names if names is not None else map(str, range(highest + 1)))
    if unseen := set(range(len(classes))) - seen:
        raise UsageError(
            f"{where}: class {printable(classes[min(unseen)])} has no training images",
            mend="add some, or number the classes without holes",
        )
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise UsageError(
            f"{where}: holds fewer than two classes, or two of one name", mend="see its class names"
        )
    return classes
