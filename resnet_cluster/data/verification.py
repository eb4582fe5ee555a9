"""Is every image of a beton still what was written, and can each be decoded?"""

from __future__ import annotations

import itertools
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.beton import JPEG_MODE, BetonIndex, read_index
from resnet_cluster.data.check import check_tables
from resnet_cluster.data.chunks import count_threads
from resnet_cluster.data.decode import opened_image
from resnet_cluster.data.manifest import Manifest, prepare_again
from resnet_cluster.data.manifest_fields import SPLIT_NAMES
from resnet_cluster.data.sources import Tick, file_sha256
from resnet_cluster.errors import IntegrityError

CHUNK = 64
_DECODED = ("jpeg",)


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written.

    Attributes:
        path: the file.
        place: of the image in it; None where it is the file as a whole.
        what: is wrong, in words.
        mend: how to put it right.
    """

    path: str
    place: int | None
    what: str
    mend: str

    @property
    def message(self) -> str:
        """What is wrong and where, in one sentence."""
        image = "" if self.place is None else f" image {self.place:,}"
        return f"{self.path}:{image} {self.what}"


def verify_dataset(manifest: Manifest, tick: Tick) -> Iterator[Fault]:
    """What is wrong with a prepared data set: its files, their hashes, each of its images."""
    mend = prepare_again(manifest)
    for split in SPLIT_NAMES:
        beton = manifest.beton(split)
        try:
            index = check_tables(manifest, split)
            checksums = manifest.checksums(split)
        except IntegrityError as error:
            yield Fault(str(beton), None, error.message.removeprefix(f"{beton}: "), mend)
            continue
        faults = list(verify_images(index, checksums, tick, mend))
        yield from faults
        is_same = file_sha256(beton, tick, f"hashing {beton.name}") == manifest.split(split).sha256
        if not faults and not is_same:
            yield Fault(str(beton), None, "was changed beside its images: its sha256 differs", mend)
    try:
        manifest.pixel_mean()
    except IntegrityError as error:
        yield Fault(str(manifest.folder), None, error.message, mend)


def verify_beton(beton: Path, tick: Tick) -> Iterator[Fault]:
    """What can be seen to be wrong with a beton that has no manifest: others' pixels may pass."""
    try:
        index = read_index(beton)
    except IntegrityError as error:
        yield Fault(str(beton), None, error.message.removeprefix(f"{beton}: "), error.mend)
        return
    yield from verify_images(index, None, tick, "write the file again from its source")


def verify_images(
    index: BetonIndex, checksums: NDArray[np.uint32] | None, tick: Tick, mend: str
) -> Iterator[Fault]:
    """The images that are not what was written, or cannot be decoded; in order, on all cores.

    Args:
        index: the beton's tables.
        checksums: uint32 [n], the CRC-32 of each image's bytes; None where they are not known.
        tick: called for each chunk of images.
        mend: how to put an image right.
    """
    places = np.arange(len(index))
    chunks = (places[start : start + CHUNK] for start in range(0, len(index), CHUNK))
    num_threads, num_done = count_threads(), 0
    file = os.open(index.path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(num_threads) as pool:
            pending: deque[Future[list[Fault]]] = deque()
            for chunk in itertools.chain(chunks, itertools.repeat(None, 2 * num_threads)):
                if chunk is not None:
                    pending.append(pool.submit(_faults, file, index, checksums, chunk, mend))
                if pending and (chunk is None or len(pending) > 2 * num_threads):
                    yield from pending.popleft().result()
                    num_done = min(num_done + CHUNK, len(index))
                    tick(f"decoding {index.path.name}", num_done, len(index))
    finally:
        os.close(file)


def _faults(
    file: int,
    index: BetonIndex,
    checksums: NDArray[np.uint32] | None,
    places: Iterable[int],
    mend: str,
) -> list[Fault]:
    found = []
    for place in map(int, places):
        content = os.pread(file, int(index.lengths[place]), int(index.pointers[place]))
        expected = None if checksums is None else int(checksums[place])
        if what := _fault(content, index, place, expected):
            found.append(Fault(str(index.path), place, what, mend))
    return found


def _fault(content: bytes, index: BetonIndex, place: int, checksum: int | None) -> str:
    """What is wrong with the bytes of an image; empty where nothing can be seen to be."""
    if checksum is not None and zlib.crc32(content) != checksum:
        return "was changed after it was written: its checksum differs"
    if index.modes[place] != JPEG_MODE:
        return ""  # any bytes are pixels, and their number has been checked
    try:
        image, kind = opened_image(content, "it")
    except IntegrityError as error:
        return error.message.removeprefix("it: ")
    if kind not in _DECODED:
        return f"is {kind}, not JPEG"
    if image.size != (index.widths[place], index.heights[place]):
        return (
            f"has {image.width}x{image.height} pixels, and its tables say "
            f"{index.widths[place]}x{index.heights[place]}"
        )
    return ""
