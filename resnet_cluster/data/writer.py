"""Writes raw betons, byte for byte as ffcv's own writer does with one worker.

ffcv's DatasetWriter hangs for ever when a worker fails (a bad image, a full disk), leaves
segments in /dev/shm when it is killed, imports 700 MB, and with several workers lays images out
as they happen to finish, so that the same images never give the same file twice. A raw beton is
simple enough to be written in order, by one process, to a file whose hash names its content.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.beton import (
    ALLOCATION,
    FIELD,
    FIELDS,
    FORMAT_VERSION,
    HEADER,
    METADATA,
    METADATA_START,
    RAW_MODE,
)

MIN_PAGE_BYTES = 1 << 21  # ffcv refuses smaller pages


class RawBetonWriter:
    """Writes square RGB images of one size, in order; leave the `with` block to finish the file.

    Args:
        path: the file, which must not exist.
        num_images: how many images will be added.
        side: their height and width.

    Raises:
        OSError: the disk is full or cannot be written.
    """

    def __init__(self, path: Path, *, num_images: int, side: int) -> None:
        self._metadata = np.zeros(num_images, METADATA)
        self._allocations = np.zeros(num_images, ALLOCATION)
        self._side, self._num_bytes = side, 3 * side * side
        self._page_bytes = page_bytes(side)
        self._num_added = 0
        self._file: BinaryIO = path.open("xb")
        self._file.write(self._tables(alloc_table_ptr=0))
        self._pad_page()

    def add(self, image: NDArray[np.uint8], label: int) -> None:
        """Append an image, uint8 [side, side, 3]."""
        assert image.shape == (self._side, self._side, 3)
        assert image.dtype == np.uint8
        if self._file.tell() % self._page_bytes + self._num_bytes > self._page_bytes:
            self._pad_page()
        place = self._num_added
        pointer = self._file.tell()
        self._metadata[place] = ((RAW_MODE, self._side, self._side, pointer), label)
        self._allocations[place] = (place, pointer, self._num_bytes)
        self._file.write(np.ascontiguousarray(image).data)
        self._num_added += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            if error is None:
                self._finish()

    def _finish(self) -> None:
        assert self._num_added == len(self._metadata)
        self._pad_page()
        table = self._file.tell()
        self._file.write(self._allocations.tobytes())
        self._file.seek(0)
        self._file.write(self._tables(alloc_table_ptr=table))

    def _pad_page(self) -> None:
        self._file.write(bytes(-self._file.tell() % self._page_bytes))

    def _tables(self, *, alloc_table_ptr: int) -> bytes:
        header = np.zeros(1, HEADER)
        header[0] = (
            FORMAT_VERSION,
            len(FIELDS),
            self._page_bytes,
            len(self._metadata),
            alloc_table_ptr,
        )
        fields = np.zeros(len(FIELDS), FIELD)
        for field, (name, type_id) in zip(fields, FIELDS, strict=True):
            field["type_id"] = type_id
            field["name"][: len(name)] = np.frombuffer(name.encode("ascii"), np.uint8)
        return header.tobytes() + fields.tobytes() + self._metadata.tobytes()


def page_bytes(side: int) -> int:
    """Bytes of a page: ffcv's smallest that holds an image, so that small sets stay small."""
    return max(MIN_PAGE_BYTES, 1 << (3 * side * side - 1).bit_length())


def beton_bytes(num_images: int, side: int) -> int:
    """Size of the file that holds `num_images` images."""
    page = page_bytes(side)
    tables = METADATA_START + num_images * METADATA.itemsize
    num_pages = -(-tables // page) + -(-num_images // (page // (3 * side * side)))
    return num_pages * page + num_images * ALLOCATION.itemsize
