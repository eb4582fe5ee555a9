"""FFCV's file format, version 2, for images: what a `.beton` is, read with numpy alone.

    header | field descriptors | metadata, one row an image | pages of images | allocation table

The layout is that of ffcv 1.0.2 (`ffcv/types.py`, `ffcv/memory_allocator.py`). Reading it here
keeps ffcv, and the torch and OpenCV it imports, out of everything that only asks about a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.errors import IntegrityError

FORMAT_VERSION = 2
JPEG_MODE, RAW_MODE = 0, 1
HEADER = np.dtype(
    [
        ("version", "<u2"),
        ("num_fields", "<u2"),
        ("page_size", "<u4"),
        ("num_samples", "<u8"),
        ("alloc_table_ptr", "<u8"),
    ],
    align=True,
)
FIELD = np.dtype(
    [("type_id", "<u1"), ("name", ("<u1", 16)), ("arguments", ("<u1", (1024,)))], align=True
)
IMAGE = np.dtype([("mode", "<u1"), ("width", "<u2"), ("height", "<u2"), ("data_ptr", "<u8")])
METADATA = np.dtype([("image", IMAGE), ("label", "<i8")], align=True)
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])
FIELDS = (("image", 2), ("label", 1))  # ffcv's type ids of RGBImageField and IntField
METADATA_START = HEADER.itemsize + len(FIELDS) * FIELD.itemsize


@dataclass(frozen=True)
class BetonIndex:
    """Where the images of a beton lie.

    Attributes:
        path: the file.
        modes: uint8 [n], JPEG_MODE or RAW_MODE.
        widths, heights: int64 [n], in pixels.
        pointers, lengths: int64 [n], place and number of each image's bytes: a JPEG file's, or
            its pixels in rows of RGB.
        labels: int64 [n], class of each image.
        page_bytes: of a page; an image lies on one page.
    """

    path: Path
    modes: NDArray[np.uint8]
    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    pointers: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    page_bytes: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pages(self) -> NDArray[np.int64]:
        """The page on which each image begins: int64 [n]."""
        return self.pointers // self.page_bytes

    @property
    def side(self) -> int | None:
        """Height and width of every image where all are raw squares of one size, else None."""
        side = int(self.heights[0])
        is_square = (self.widths == side).all() and (self.heights == side).all()
        return side if is_square and (self.modes == RAW_MODE).all() else None


@dataclass(frozen=True)
class RawSquares:
    """The images of a beton of raw squares of one size.

    Attributes:
        index: the file's tables.
        side: height and width of every image, in pixels.
    """

    index: BetonIndex
    side: int

    def windows(self, file: NDArray[np.uint8] | None = None) -> NDArray[np.void]:
        """Every window of one image's length in the file: index it with `pointers[...]`.

        Args:
            file: its bytes, mapped into memory; None maps them.

        A void scalar of an image's size turns a gather of many images into one copy each,
        without a Python loop and without compiling anything.
        """
        if file is None:
            file = np.memmap(self.index.path, np.uint8, mode="r")
        num_bytes = 3 * self.side * self.side
        return np.ndarray((len(file) - num_bytes + 1,), f"V{num_bytes}", file, strides=(1,))

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images of `indices`: uint8 [len(indices), side, side, 3]."""
        gathered = self.windows()[self.index.pointers[indices]]
        return gathered.view(np.uint8).reshape(-1, self.side, self.side, 3)


def read_labels(beton: Path) -> NDArray[np.int64]:
    """The class of every image of a beton, int64 [n].

    Raises:
        IntegrityError: the file is missing, truncated or not such a beton.
    """
    return read_index(beton).labels


def read_squares(beton: Path) -> RawSquares:
    """A beton of raw squares of one size.

    Raises:
        IntegrityError: the file is missing, truncated or not such a beton.
    """
    index = read_index(beton)
    if (side := index.side) is None:
        raise _damaged(beton, "holds images that are not all raw squares of one size")
    return RawSquares(index, side)


def read_index(beton: Path) -> BetonIndex:
    """Read a beton's tables and check that each image they name lies inside the file.

    A loader maps the file into memory, where a pointer past its end is a bus error that kills
    the process instead of an exception: so nothing reads pixels before this has passed.

    Raises:
        IntegrityError: the file is missing, truncated, or not a beton of RGB images and classes.
    """
    try:
        num_bytes = beton.stat().st_size
        with beton.open("rb") as file:
            header = _read(file.read(HEADER.itemsize), HEADER, 1, beton)[0]
            _check_header(header, num_bytes, beton)
            fields = _read(file.read(2 * FIELD.itemsize), FIELD, 2, beton)
            _check_fields(fields, beton)
            num_images = int(header["num_samples"])
            metadata = _read(file.read(num_images * METADATA.itemsize), METADATA, num_images, beton)
            file.seek(int(header["alloc_table_ptr"]))
            allocations = np.frombuffer(file.read(), ALLOCATION)
    except OSError as error:
        raise _damaged(beton, f"cannot be read ({error.strerror})") from error
    allocations = _by_image(metadata, allocations, beton)
    _check_images(metadata["image"], allocations, int(header["alloc_table_ptr"]), beton)
    image = metadata["image"]
    return BetonIndex(
        path=beton,
        modes=np.ascontiguousarray(image["mode"]),
        widths=image["width"].astype(np.int64),
        heights=image["height"].astype(np.int64),
        pointers=image["data_ptr"].astype(np.int64),
        lengths=allocations["size"].astype(np.int64),
        labels=metadata["label"].astype(np.int64),
        page_bytes=int(header["page_size"]),
    )


def _read(content: bytes, dtype: np.dtype[np.void], count: int, beton: Path) -> NDArray[np.void]:
    if len(content) < count * dtype.itemsize:
        raise _damaged(beton, "ends inside its tables")
    return np.frombuffer(content, dtype, count)


def _check_header(header: np.void, num_bytes: int, beton: Path) -> None:
    if header["version"] != FORMAT_VERSION:
        raise _damaged(
            beton, f"has format version {header['version']}, and {FORMAT_VERSION} is known"
        )
    if header["page_size"] == 0:
        raise _damaged(beton, "has pages of 0 bytes")
    table = int(header["alloc_table_ptr"])
    tables_end = METADATA_START + int(header["num_samples"]) * METADATA.itemsize
    if header["num_samples"] == 0 or not tables_end <= table < num_bytes:
        raise _damaged(beton, "has no allocation table where its header says: it is truncated")
    if (num_bytes - table) % ALLOCATION.itemsize:
        raise _damaged(beton, "ends inside its allocation table: it is truncated")


def _check_fields(fields: NDArray[np.void], beton: Path) -> None:
    found = tuple(
        (bytes(field["name"]).split(b"\0")[0].decode("ascii", "replace"), int(field["type_id"]))
        for field in fields
    )
    if found != FIELDS:
        raise _damaged(beton, f"holds the fields {found}, and {FIELDS} are expected")


def _by_image(
    metadata: NDArray[np.void], allocations: NDArray[np.void], beton: Path
) -> NDArray[np.void]:
    """The allocation of each image, in the order of the images."""
    ordered = allocations[np.argsort(allocations["sample_id"], kind="stable")]
    if not np.array_equal(ordered["sample_id"], np.arange(len(metadata), dtype=np.uint64)):
        raise _damaged(beton, "has an allocation table that is not one of its images")
    if not np.array_equal(ordered["ptr"], metadata["image"]["data_ptr"]):
        raise _damaged(beton, "points to an image that its allocation table does not know")
    return ordered


def _check_images(
    image: NDArray[np.void], allocations: NDArray[np.void], table: int, beton: Path
) -> None:
    if not np.isin(image["mode"], (JPEG_MODE, RAW_MODE)).all():
        raise _damaged(beton, "holds images that are neither JPEG nor raw")
    width, height = (image[side].astype(np.uint64) for side in ("width", "height"))
    if not (width * height).all():
        raise _damaged(beton, "holds an image without pixels")
    size, pointer = allocations["size"], allocations["ptr"]
    is_raw = image["mode"] == RAW_MODE
    if not (size[is_raw] == (3 * width * height)[is_raw]).all() or not size.all():
        raise _damaged(beton, "holds an image whose length is not that of its pixels")
    tables_end = METADATA_START + len(image) * METADATA.itemsize
    # A sum of pointer and size could overflow.
    ends_inside = (size <= table) & (pointer <= table - np.minimum(size, table))
    if not ((pointer >= tables_end) & ends_inside).all():
        raise _damaged(beton, "points past the end of its images")


def _damaged(beton: Path, what: str) -> IntegrityError:
    return IntegrityError(
        f"{beton}: {what}",
        mend="remove the data set's folder and prepare it again with `resnet-cluster data prepare`",
    )
