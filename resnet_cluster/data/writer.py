"""Writes betons, byte for byte as ffcv's own writer does with one worker.

ffcv's DatasetWriter hangs for ever when a worker fails (a bad image, a full disk), leaves
segments in /dev/shm when it is killed, imports 700 MB, and with several workers lays images out
as they happen to finish, so that the same images never give the same file twice. A beton is simple
enough to be written in order, by one process, to a file whose hash names its content.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

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
PAGE_BYTES = 1 << 23
"""Of a page, where images are of many sizes: ffcv's own default."""


class StoredImage(NamedTuple):
    """An image as a beton keeps it.

    Attributes:
        mode: JPEG_MODE or RAW_MODE.
        content: a JPEG file's bytes, or the pixels in rows of RGB.
    """

    mode: int
    width: int
    height: int
    content: bytes

    @classmethod
    def raw(cls, pixels: NDArray[np.uint8]) -> Self:
        """Pixels, uint8 [height, width, 3], as they are."""
        height, width, channels = pixels.shape
        assert channels == 3
        assert pixels.dtype == np.uint8
        return cls(RAW_MODE, width, height, pixels.tobytes())


class BetonWriter:
    """Writes images in order; leave the `with` block to finish the file.

    Args:
        path: the file, which must not exist.
        max_images: room in its tables; fewer may be added.
        page_bytes: of a page, in which an image must find room: a power of two.

    Raises:
        OSError: the disk is full or cannot be written.
    """

    def __init__(self, path: Path, *, max_images: int, page_bytes: int) -> None:
        assert page_bytes >= MIN_PAGE_BYTES
        self._metadata = np.zeros(max_images, METADATA)
        self._allocations = np.zeros(max_images, ALLOCATION)
        self._page_bytes = page_bytes
        self._checksums = np.zeros(max_images, np.uint32)
        self._num_added = 0
        self._file: BinaryIO = path.open("xb")
        self._file.write(self._tables(alloc_table_ptr=0))
        self._pad_page()

    def add(self, image: StoredImage, label: int) -> None:
        """Append an image."""
        num_bytes = len(image.content)
        assert 0 < num_bytes <= self._page_bytes
        if self._file.tell() % self._page_bytes + num_bytes > self._page_bytes:
            self._pad_page()
        place, pointer = self._num_added, self._file.tell()
        self._metadata[place] = ((image.mode, image.width, image.height, pointer), label)
        self._allocations[place] = (place, pointer, num_bytes)
        self._checksums[place] = zlib.crc32(image.content)
        self._file.write(image.content)
        self._num_added += 1

    @property
    def checksums(self) -> NDArray[np.uint32]:
        """The CRC-32 of each image's bytes, uint32 [n]."""
        return self._checksums[: self._num_added]

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
        assert self._num_added > 0
        self._pad_page()
        table = self._file.tell()
        self._file.write(self._allocations[: self._num_added].tobytes())
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
            self._num_added,
            alloc_table_ptr,
        )
        fields = np.zeros(len(FIELDS), FIELD)
        for field, (name, type_id) in zip(fields, FIELDS, strict=True):
            field["type_id"] = type_id
            field["name"][: len(name)] = np.frombuffer(name.encode("ascii"), np.uint8)
        return header.tobytes() + fields.tobytes() + self._metadata.tobytes()


def page_bytes(image_bytes: int) -> int:
    """Bytes of a page: ffcv's smallest that holds such an image, so that small sets stay small."""
    return max(MIN_PAGE_BYTES, 1 << (image_bytes - 1).bit_length())


def squares_bytes(num_images: int, side: int) -> int:
    """Size of the file that holds `num_images` raw squares."""
    page = page_bytes(3 * side * side)
    tables = METADATA_START + num_images * METADATA.itemsize
    num_pages = -(-tables // page) + -(-num_images // (page // (3 * side * side)))
    return num_pages * page + num_images * ALLOCATION.itemsize
