"""Trees of image files: in a folder, or in a tar archive."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from resnet_cluster.data.sources import (
    Example,
    Source,
    Tick,
    check_image_bytes,
    check_length,
    file_sha256,
    names_and_sizes_sha256,
    tree_splits,
)
from resnet_cluster.data.tars import check_end, damage_named
from resnet_cluster.data.tree import Tree, arrange, is_image, printable
from resnet_cluster.errors import IntegrityError, UsageError

MAX_DEPTH = 8
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh")


class FolderSource(Source):
    """A tree of image files. Links are followed; sockets, pipes and devices are not read.

    Raises:
        UsageError: the folder is no such tree.
        IntegrityError: a file or folder in it cannot be read.
    """

    kind = "folder"

    def __init__(self, folder: Path, tick: Tick) -> None:
        super().__init__()
        self.description = str(folder)
        self._folder = folder
        sizes, num_special = list_files(folder, tick)
        self.sha256 = names_and_sizes_sha256(sizes)
        tree = arrange(sizes, self.description)
        _check_no_class_is_empty(folder, tree)
        self.classes = tree.classes
        self.num_ignored = tree.num_ignored + num_special
        self.splits = tree_splits(tree, f"{folder}/", {name: name for name in sizes})
        self.recognised = f"a folder of class folders{_splits_in_words(self)}"

    def read(self, example: Example) -> bytes:
        return read_file(self._folder / str(example.place), example.name)


def _check_no_class_is_empty(folder: Path, tree: Tree) -> None:
    """Refuse folders among those of the classes that hold no image, as torchvision does."""
    with_images = {folder / os.path.dirname(name) for name, _ in tree.train}
    for parent in {path.parent for path in with_images}:
        folders = {path for path in parent.iterdir() if path.is_dir() and path.name[0] != "."}
        if empty := sorted(folders - with_images):
            more = f", as {len(empty) - 1} others" if len(empty) > 1 else ""
            raise UsageError(
                f"{printable(str(empty[0]))}: holds no image{more}, among the folders of classes",
                mend="add its images, or remove it",
            )


def read_file(path: Path, name: str) -> bytes:
    """The content of an image file, which messages call by its name.

    Raises:
        IntegrityError: it cannot be read, or is too large to be an image.
    """
    try:
        check_image_bytes(path.stat().st_size, name)
        return path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{name}: {error.strerror}") from error


def file_sizes(folder: Path, tick: Tick) -> dict[str, int]:
    """Relative name and size of every regular file of a folder, sorted by name.

    Raises:
        IntegrityError: a file or folder in it cannot be read, or folders nest without end.
    """
    return list_files(folder, tick)[0]


def list_files(folder: Path, tick: Tick) -> tuple[dict[str, int], int]:
    """The same, and how many sockets, pipes, devices and broken links there are.

    Raises:
        IntegrityError: see `file_sizes`.
    """
    sizes: dict[str, int] = {}
    num_special = 0
    try:
        for entry in _entries(folder, MAX_DEPTH):
            if entry.is_file():
                sizes[os.path.relpath(entry.path, folder)] = entry.stat().st_size
                tick("listing files", len(sizes), 0)
            else:
                num_special += 1
    except OSError as error:
        raise IntegrityError(f"{error.filename}: {error.strerror}") from error
    return dict(sorted(sizes.items())), num_special


def _entries(folder: Path | str, depth: int) -> Iterator[os.DirEntry[str]]:
    if depth == 0:
        raise IntegrityError(
            f"{folder}: folders nest more than {MAX_DEPTH} deep",
            mend="look for a link to a folder above it, or point deeper into the tree",
        )
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _entries(entry.path, depth - 1)
            else:
                yield entry


class TarSource(Source):
    """A tar archive of a tree of image files, compressed or not.

    Nothing is extracted: names are labels and never paths; links and devices are ignored. A
    compressed archive cannot be read in the order of its classes, so its images are first
    spooled into one unnamed file in `scratch`, which vanishes with the process.

    Raises:
        IntegrityError: the archive is damaged or truncated.
        UsageError: it holds no such tree.
        OSError: the disk is full.
    """

    kind = "tar"

    def __init__(self, archive: Path, scratch: Path, tick: Tick) -> None:
        super().__init__()
        self.description = str(archive)
        self.sha256 = file_sha256(archive, tick, "hashing the archive")
        places: dict[str, tuple[int, int]] = {}
        with contextlib.ExitStack() as files:
            spool: BinaryIO | None = None
            if is_compressed(archive):
                spool = files.enter_context(tempfile.TemporaryFile(dir=scratch))
            self._file = spool or files.enter_context(archive.open("rb"))
            with damage_named(archive):
                for name, place in _members(archive, spool, tick):
                    if place is None:
                        self.num_ignored += 1
                    else:
                        places[name] = place
            tree = arrange(places, self.description)
            self._files.push(files.pop_all())
        self.classes = tree.classes
        self.splits = tree_splits(tree, f"{archive.name}:", places)
        self.recognised = f"a tar of class folders{_splits_in_words(self)}"

    def read(self, example: Example) -> bytes:
        assert isinstance(example.place, tuple)
        offset, num_bytes = example.place
        self._file.seek(offset)
        return check_length(self._file.read(num_bytes), num_bytes, example.name)


def _splits_in_words(source: Source) -> str:
    return ", for training and for testing" if "test" in source.splits else ""


def is_compressed(archive: Path) -> bool:
    """Whether a tar archive is compressed, by its first bytes."""
    with archive.open("rb") as file:
        return file.read(6).startswith(_COMPRESSED)


def _members(
    archive: Path, spool: BinaryIO | None, tick: Tick
) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """Each member's name and, of an image, its (offset, size) in the archive or the spool."""
    num_bytes = archive.stat().st_size
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
        while (member := tar.next()) is not None:
            # tarfile keeps every member it has seen: a gigabyte for a million images.
            tar.members.clear()  # type: ignore[attr-defined]
            tick("reading the archive", raw.tell(), num_bytes)
            if not member.isreg() or member.issparse() or not is_image(member.name):
                if not member.isdir():
                    yield member.name, None
                continue
            check_image_bytes(member.size, f"{archive.name}:{member.name}")
            if spool is None:
                yield member.name, (member.offset_data, member.size)
            else:
                yield member.name, _spooled(tar, member, spool)
        check_end(tar, raw, archive, is_plain=spool is None)


def _spooled(tar: tarfile.TarFile, member: tarfile.TarInfo, spool: BinaryIO) -> tuple[int, int]:
    offset = spool.tell()
    content = tar.extractfile(member)
    assert content is not None
    shutil.copyfileobj(content, spool)
    return offset, member.size
