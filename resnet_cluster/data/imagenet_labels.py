"""The tables that say what ImageNet's validation images show, and what its classes are called."""

from __future__ import annotations

import csv
import io
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_cluster.data.tars import damage_named, damaged
from resnet_cluster.data.tree import printable

DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
VAL_TABLE = "LOC_val_solution.csv"
CLASS_TABLE = "LOC_synset_mapping.txt"
MAX_TABLE_BYTES = 64 << 20
_SYNSET = re.compile(r"n[0-9]{8}")
_META, _TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True)
class Labels:
    """What ImageNet's tables say.

    Attributes:
        source: what says it, in words.
        by_image: WordNet id of each validation image, by file name without its suffix.
        names: words for a class, by WordNet id; empty where the tables have none.
    """

    source: str
    by_image: Mapping[str, str]
    names: Mapping[str, str]


def is_imagenet(classes: Sequence[str]) -> bool:
    """Whether classes go by WordNet's ids, as ImageNet's do."""
    return all(_SYNSET.fullmatch(name) for name in classes)


def devkit_labels(devkit: Path) -> Labels:
    """The labels in a development kit, which numbers classes in an order of its own.

    Raises:
        IntegrityError: it is damaged, or not a development kit.
    """
    members = _devkit_members(devkit)
    wnid_of, names = _synsets(members[_META], devkit)
    try:
        truth = [int(line) for line in members[_TRUTH].split()]
        wnids = [wnid_of[number] for number in truth]
    except (ValueError, KeyError) as error:
        raise damaged(devkit, f"its ground truth has the class {error}") from error
    by_image = {f"ILSVRC2012_val_{place:08d}": wnid for place, wnid in enumerate(wnids, start=1)}
    return Labels("the development kit", by_image, names)


def kaggle_labels(folder: Path) -> Labels:
    """The labels in Kaggle's tables.

    Raises:
        IntegrityError: a table is damaged.
    """
    by_image = {}
    for row in csv.reader(io.StringIO(_text(folder / VAL_TABLE))):
        if row[:1] == ["ImageId"] or not row:
            continue
        boxes = row[1].split() if len(row) == 2 else []
        if not boxes:
            raise damaged(folder / VAL_TABLE, f"the row of {printable(row[0])!r} has no class")
        by_image[row[0]] = boxes[0]
    names = {}
    if (folder / CLASS_TABLE).is_file():
        for line in _text(folder / CLASS_TABLE).splitlines():
            wnid, _, name = line.strip().partition(" ")
            names[wnid] = name
    return Labels(VAL_TABLE, by_image, names)


def _devkit_members(devkit: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with damage_named(devkit), tarfile.open(devkit, "r:*") as tar:
        while (member := tar.next()) is not None:
            name = Path(member.name).name
            if member.isreg() and name in (_META, _TRUTH) and member.size < MAX_TABLE_BYTES:
                content = tar.extractfile(member)
                assert content is not None
                found[name] = content.read()
    if missing := {_META, _TRUTH} - found.keys():
        raise damaged(devkit, f"it has no {min(missing)}")
    return found


def _synsets(meta: bytes, devkit: Path) -> tuple[dict[int, str], dict[str, str]]:
    """WordNet id by number, and words by WordNet id, of the classes that have images."""
    import scipy.io

    try:
        synsets = scipy.io.loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        leaves = [
            (int(row["ILSVRC2012_ID"]), str(row["WNID"]), str(row["words"]))
            for row in synsets
            if int(row["num_children"]) == 0
        ]
    except Exception as error:  # scipy raises whatever its parser meets in a damaged file
        raise damaged(devkit, f"its meta.mat cannot be read: {error}") from error
    return {number: wnid for number, wnid, _ in leaves}, {wnid: name for _, wnid, name in leaves}


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise damaged(path, "it is too large to be such a table")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, "it is not text") from error
