"""ImageNet as it comes: the archives of ILSVRC 2012, and Kaggle's layout of the same.

Its validation images are not in class folders: what they show is said by the development kit
(numbers of classes, in the order of the file names) or by Kaggle's table (ids, by file name).
Classes are WordNet ids, sorted, as everybody numbers them.
"""

from __future__ import annotations

from pathlib import Path

from resnet_cluster.data.file_sources import file_sizes, read_file
from resnet_cluster.data.imagenet_labels import (
    DEVKIT,
    VAL_TABLE,
    Labels,
    devkit_labels,
    kaggle_labels,
)
from resnet_cluster.data.manifest_fields import SourceKind
from resnet_cluster.data.sources import Example, Source, Tick, names_and_sizes_sha256
from resnet_cluster.data.tars import PackedSource, scan
from resnet_cluster.data.tree import is_image, printable
from resnet_cluster.errors import IntegrityError, UsageError

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VAL_TAR = "ILSVRC2012_img_val.tar"
KAGGLE_IMAGES = "ILSVRC/Data/CLS-LOC"
VAL_FOLDERS = ("val", "ILSVRC2012_img_val")

_ByClass = dict[str, list[Example]]
"""Training images by WordNet id, not labelled yet."""
_ByStem = dict[str, Example]
"""Validation images by file name without its suffix, not labelled yet."""


class ArchivesSource(PackedSource):
    """The official archives: a tar of a tar for each class, a flat tar, the development kit.

    Raises:
        UsageError: one of them is missing.
        IntegrityError: one is damaged, or they do not fit each other.
    """

    kind: SourceKind = "ilsvrc"

    def __init__(self, folder: Path, tick: Tick) -> None:
        train, val = (_required(folder, name) for name in (TRAIN_TAR, VAL_TAR))
        labels = devkit_labels(_required(folder, DEVKIT))
        super().__init__((train, val))
        self.description = str(folder)
        self.sha256 = names_and_sizes_sha256(file_sizes(folder, tick))
        by_class = {
            Path(outer.name).stem: [
                Example(printable(f"{TRAIN_TAR}:{name}"), 0, (0, offset, num_bytes))
                for name, offset, num_bytes in scan(train, tick, start=outer.offset)
                if is_image(name)
            ]
            for outer in scan(train, tick)
        }
        by_stem = {
            Path(name).stem: Example(printable(f"{VAL_TAR}:{name}"), 0, (1, offset, num_bytes))
            for name, offset, num_bytes in scan(val, tick)
            if is_image(name)
        }
        _label(self, by_class, by_stem, labels)
        self.recognised = (
            f"the ILSVRC 2012 archives: a training tar of {len(self.classes):,} classes, "
            f"validation labelled by {labels.source}"
        )


class FlatValSource(Source):
    """Class folders to train on, and a flat folder of validation images that a table labels.

    Args:
        kind: `kaggle` or `ilsvrc`.
        folder: what the user named.
        images: the folder that holds `train/` and the validation folder.
        labels: what its images show.

    Raises:
        UsageError: the folders hold no such images.
        IntegrityError: folder and table do not fit each other.
    """

    def __init__(
        self, kind: SourceKind, folder: Path, images: Path, labels: Labels, tick: Tick
    ) -> None:
        super().__init__()
        self.kind, self.description, self._images = kind, str(folder), images
        sizes = file_sizes(folder, tick)
        self.sha256 = names_and_sizes_sha256(sizes)
        by_class: _ByClass = {}
        by_stem: _ByStem = {}
        prefix = "" if images == folder else f"{images.relative_to(folder)}/"
        for path in sizes:
            name = path.removeprefix(prefix) if path.startswith(prefix) else ""
            example = Example(printable(f"{images}/{name}"), 0, name)
            match name.split("/"):
                case ["train", wnid, _] if is_image(name):
                    by_class.setdefault(wnid, []).append(example)
                case [top, _] if top in VAL_FOLDERS and is_image(name):
                    by_stem[Path(name).stem] = example
                case _:
                    self.num_ignored += 1
        if not by_class:
            raise UsageError(
                f"{images / 'train'}: holds no class folders with images",
                mend="unpack the training images there, or give the folder that they are in",
            )
        _label(self, by_class, by_stem, labels)
        self.recognised = (
            f"ImageNet with {len(self.classes):,} class folders, validation labelled by "
            f"{labels.source}"
        )

    def read(self, example: Example) -> bytes:
        return read_file(self._images / str(example.place), example.name)


def imagenet_source(folder: Path, tick: Tick) -> Source | None:
    """ImageNet in one of its own layouts; None where the folder is none of them.

    Raises:
        UsageError: a part of it is missing.
        IntegrityError: it is damaged, or its parts do not fit each other.
    """
    if (folder / TRAIN_TAR).is_file():
        return ArchivesSource(folder, tick)
    if (folder / VAL_TABLE).is_file():
        inner = folder / KAGGLE_IMAGES
        images = inner if inner.is_dir() else folder
        return FlatValSource("kaggle", folder, images, kaggle_labels(folder), tick)
    if (folder / DEVKIT).is_file() and (folder / "train").is_dir():
        return FlatValSource("ilsvrc", folder, folder, devkit_labels(folder / DEVKIT), tick)
    return None


def _label(source: Source, by_class: _ByClass, by_stem: _ByStem, labels: Labels) -> None:
    """Set a source's classes, their names and its splits, each ordered by class and name."""
    where = source.description
    _check_classes(by_class, where)
    _check_table(by_stem, labels, where)
    source.classes = tuple(sorted(by_class))
    if all(wnid in labels.names for wnid in source.classes):
        source.class_names = tuple(labels.names[wnid] for wnid in source.classes)
    numbers = {wnid: number for number, wnid in enumerate(source.classes)}
    if unknown := {labels.by_image[stem] for stem in by_stem} - numbers.keys():
        raise IntegrityError(
            f"{where}: has validation images of {printable(min(unknown))}, and no training images",
            mend="fetch the training images again",
        )
    test = [
        example._replace(label=numbers[labels.by_image[stem]]) for stem, example in by_stem.items()
    ]
    source.splits = {
        "train": [
            example._replace(label=number)
            for wnid, number in numbers.items()
            for example in sorted(by_class[wnid])
        ],
        "test": sorted(test, key=lambda example: (example.label, example.name)),
    }


def _check_classes(by_class: _ByClass, where: str) -> None:
    empty = sorted(wnid for wnid, images in by_class.items() if not images)
    if empty or len(by_class) < 2:
        of = f"of {printable(empty[0])}" if empty else "of two classes or more"
        raise UsageError(f"{where}: has no training images {of}", mend="fetch them again")


def _check_table(by_stem: _ByStem, labels: Labels, where: str) -> None:
    found, listed = by_stem.keys(), labels.by_image.keys()
    if unlabelled := found - listed:
        raise IntegrityError(
            f"{where}: {labels.source} does not say what {printable(min(unlabelled))} shows",
            mend="remove that image, or fetch the table again",
        )
    if missing := listed - found:
        raise IntegrityError(
            f"{where}: has {len(found):,} of {len(listed):,} validation images; "
            f"{printable(min(missing))} is missing",
            mend="fetch the validation images again",
        )


def _required(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise UsageError(
            f"{path}: is missing, and belongs to the ILSVRC 2012 archives beside it",
            mend=f"put {name} into that folder; its makers distribute it with the others",
        )
    return path
