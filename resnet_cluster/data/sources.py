"""Where images come from: what every source offers, and the one function that opens them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.manifest_fields import SourceKind, SplitName
from resnet_cluster.data.tree import Tree, printable
from resnet_cluster.errors import IntegrityError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MAX_IMAGE_BYTES = 256 << 20
_BLOCK = 1 << 22

Tick = Callable[[str, int, int], None]
"""Called often with (stage, done, total; 0 where unknown): a sign of life."""

Place = tuple[int, ...] | str | int


class Example(NamedTuple):
    """One image of a source.

    Attributes:
        name: how a message names it: `archive:member`, a path, or `kind:split:number`.
        label: index of its class.
        place: where its source finds it.
    """

    name: str
    label: int
    place: Place


class Source(ABC):
    """Images with classes, in one split or two.

    Attributes:
        kind: how a manifest calls this kind of source.
        description: what the user gave, with a path made absolute.
        sha256: of the archive, of the sorted file names and sizes, or of the pixels.
        classes: names of the classes, in the order of the labels.
        splits: `train`, and `test` where the source has one.
        num_ignored: files that are not images.
        encoding: what plain pixels came from; None where each image's own format is to be named.
        recognised: what the source was taken for, in words.
        class_names: what people call the classes, where those are ids.
    """

    kind: SourceKind
    description: str
    sha256: str
    classes: tuple[str, ...]
    splits: Mapping[SplitName, Sequence[Example]]
    num_ignored: int = 0
    encoding: str | None = None
    recognised: str = ""
    class_names: tuple[str, ...] | None = None

    def __init__(self) -> None:
        self._files = contextlib.ExitStack()

    @abstractmethod
    def read(self, example: Example) -> bytes | NDArray[np.uint8]:
        """An encoded image, or its pixels [h, w] or [h, w, 3] where the source has them plain.

        Raises:
            IntegrityError: the image is not there any more, or too large to be one.
        """

    def close(self) -> None:
        """Release files; nothing can be read afterwards."""
        self._files.close()


def tree_splits(
    tree: Tree, prefix: str, places: Mapping[str, Place]
) -> dict[SplitName, list[Example]]:
    """The examples of a tree of files; `prefix` goes before each name in messages."""
    splits: dict[SplitName, list[Example]] = {"train": _examples(tree.train, prefix, places)}
    if tree.test is not None:
        splits["test"] = _examples(tree.test, prefix, places)
    return splits


def _examples(
    images: Iterable[tuple[str, int]], prefix: str, places: Mapping[str, Place]
) -> list[Example]:
    return [Example(printable(f"{prefix}{name}"), label, places[name]) for name, label in images]


def check_length(content: bytes, num_bytes: int, name: str) -> bytes:
    """`content`, which must have the length that its source states for it.

    Raises:
        IntegrityError: it is shorter or longer.
    """
    if len(content) != num_bytes:
        raise IntegrityError(
            f"{name}: is truncated ({len(content)} of {num_bytes} bytes)",
            mend="fetch the source again, or remove that image from it",
        )
    return content


def check_image_bytes(num_bytes: int, name: str) -> None:
    """Refuse a file that would fill the memory instead of being an image.

    Raises:
        IntegrityError: it is larger than MAX_IMAGE_BYTES.
    """
    if num_bytes > MAX_IMAGE_BYTES:
        raise IntegrityError(
            f"{printable(name)}: has {num_bytes / 2**20:.0f} MiB, which no image has",
            mend="remove it from the source",
        )


def names_and_sizes_sha256(sizes: Mapping[str, int]) -> str:
    """SHA-256 of the sorted list of file names and sizes."""
    listing = json.dumps(sorted(sizes.items()), separators=(",", ":"))
    return hashlib.sha256(listing.encode()).hexdigest()


def file_sha256(path: Path, tick: Tick, stage: str) -> str:
    """SHA-256 of a file's content, with a sign of life for each block of it."""
    digest, total, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            tick(stage, done, total)
    return digest.hexdigest()
