"""`pixels: v1`: crops of resized images, the same whatever cuts them.

A crop's pixels are those of PIL: decoded by libjpeg's accurate transform with smooth upsampling of
colours, the region cut out, resized by the antialiased bilinear filter (first its rows, then its
columns, 8 bits in between), the window cut out, mirrored. So says `_cut_by_pil`; the extension in
C gives the same bytes two to three times as fast, by decoding only what the window needs.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import io
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_cluster.data.beton import JPEG_MODE, BetonIndex
from resnet_cluster.data.views import Crops

CROP = np.dtype(
    [
        ("data", "u8"),
        ("num_bytes", "u8"),
        ("out", "u8"),
        *((name, "i4") for name in ("mode", "width", "height")),
        *((name, "i4") for name in ("left", "top", "region_width", "region_height")),
        *((name, "i4") for name in ("resized_width", "resized_height")),
        *((name, "i4") for name in ("offset_x", "offset_y", "out_width", "out_height")),
        *((name, "i4") for name in ("mirrored", "status")),
        ("message", "S200"),
    ],
    align=True,
)
"""What is cut out of one image: `Crop` in _pixels.c. Places are addresses in memory."""

FINE, WARNED, FAILED = 0, 1, 2
Engine = Literal["c", "pil"]
_EACH_TASK = 16


@dataclass(frozen=True)
class BadCrop:
    """A crop of an image that is damaged; its pixels are zero.

    Attributes:
        place: among the crops.
        why: in words.
    """

    place: int
    why: str


class Cutter:
    """Cuts crops out of the images of a beton.

    Args:
        index: the beton's tables.
        checksums: uint32 [n], the CRC-32 of each image's bytes; None where they are not known. An
            image that its decoder only warned of is whole if it has the bytes that were written.
        engine: what cuts; None takes the extension where it was built, else PIL.
    """

    def __init__(
        self,
        index: BetonIndex,
        checksums: NDArray[np.uint32] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._index, self._checksums = index, checksums
        self.file = np.memmap(index.path, np.uint8, mode="r")
        self.engine: Engine = engine or best_engine()

    def cut(
        self,
        sample_ids: NDArray[np.int64],
        crops: Crops,
        out: NDArray[np.uint8],
        pool: Executor | None = None,
    ) -> tuple[BadCrop, ...]:
        """Cut crops.

        Args:
            sample_ids: int64 [n], the image that each crop is of.
            crops: n of them. Crops of one image that follow each other share its decoding.
            out: uint8 [n, height, width, 3], contiguous: where they go.
            pool: threads that share the work; None does it in this one.

        Returns:
            The crops of damaged images.
        """
        assert out.shape == (len(crops), crops.height, crops.width, 3)
        assert out.flags.c_contiguous
        table = self._table(sample_ids, crops, out)
        cut = _cut_by_c if self.engine == "c" else _cut_by_pil
        if pool is None:
            cut(table, out)
        else:
            for task in [pool.submit(cut, *part) for part in _tasks(table, out)]:
                task.result()
        bad = tuple(self._bad_crops(table, sample_ids))
        out[[crop.place for crop in bad]] = 0
        return bad

    def content(self, sample_id: int) -> bytes:
        """The bytes of an image, as they are in the file."""
        start = self._index.pointers[sample_id]
        return self.file[start : start + self._index.lengths[sample_id]].tobytes()

    def _bad_crops(
        self, table: NDArray[np.void], sample_ids: NDArray[np.int64]
    ) -> Iterator[BadCrop]:
        suspect = table["status"] != FINE
        if self.engine == "pil" and self._checksums is not None:
            suspect |= table["mode"] == JPEG_MODE  # PIL keeps its decoder's warnings to itself
        for place in np.flatnonzero(suspect):
            crop = table[place]
            if crop["status"] == FAILED or not self._is_as_written(int(sample_ids[place])):
                why = crop["message"].decode("latin-1")
                yield BadCrop(int(place), why or "its bytes are not those that were written")

    def _is_as_written(self, sample_id: int) -> bool:
        if self._checksums is None:
            return False
        return zlib.crc32(self.content(sample_id)) == int(self._checksums[sample_id])

    def _table(
        self, sample_ids: NDArray[np.int64], crops: Crops, out: NDArray[np.uint8]
    ) -> NDArray[np.void]:
        index, table = self._index, np.zeros(len(crops), CROP)
        table["data"] = self.file.ctypes.data + index.pointers[sample_ids]
        table["num_bytes"] = index.lengths[sample_ids]
        table["out"] = out.ctypes.data + np.arange(len(crops)) * out[0].nbytes
        table["mode"] = index.modes[sample_ids]
        table["width"], table["height"] = index.widths[sample_ids], index.heights[sample_ids]
        for column, name in enumerate(("left", "top", "region_width", "region_height")):
            table[name] = crops.regions[:, column]
        table["resized_width"], table["resized_height"] = crops.resized.T
        table["offset_x"], table["offset_y"] = crops.offsets.T
        table["out_width"], table["out_height"] = crops.width, crops.height
        table["mirrored"] = crops.mirrored
        return table


def best_engine() -> Engine:
    """`c` where the extension was built, else `pil`."""
    return "pil" if _library() is None else "c"


def _tasks(
    table: NDArray[np.void], out: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.void], NDArray[np.uint8]]]:
    """Parts of the work; crops of one image stay together."""
    start = 0
    for begin in (np.flatnonzero(np.diff(table["data"])) + 1).tolist():
        if begin - start >= _EACH_TASK:
            yield table[start:begin], out[start:begin]
            start = begin
    yield table[start:], out[start:]


def _cut_by_c(table: NDArray[np.void], out: NDArray[np.uint8]) -> None:
    library = _library()
    assert library is not None
    if library.pixels_cut(table.ctypes.data, len(table)) != 0:
        raise MemoryError


def _cut_by_pil(table: NDArray[np.void], out: NDArray[np.uint8]) -> None:
    for crop, window in zip(table, out, strict=True):
        try:
            window[:] = _crop_by_pil(crop, ctypes.string_at(int(crop["data"]), crop["num_bytes"]))
        except Exception as error:  # PIL raises whatever its parsers meet in a damaged file
            crop["status"], crop["message"] = FAILED, str(error).encode("latin-1", "replace")[:199]


def _crop_by_pil(crop: np.void, content: bytes) -> NDArray[np.uint8]:
    image = _image_by_pil(crop, content)
    left, top = int(crop["left"]), int(crop["top"])
    width, height = int(crop["region_width"]), int(crop["region_height"])
    image = image.crop((left, top, left + width, top + height))
    # In two calls: PIL of version 13 chooses by the shape which direction comes first.
    resized_width, resized_height = int(crop["resized_width"]), int(crop["resized_height"])
    image = image.resize((resized_width, height), Image.Resampling.BILINEAR)
    image = image.resize((resized_width, resized_height), Image.Resampling.BILINEAR)
    x, y = int(crop["offset_x"]), int(crop["offset_y"])
    image = image.crop((x, y, x + int(crop["out_width"]), y + int(crop["out_height"])))
    if crop["mirrored"]:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image)


def _image_by_pil(crop: np.void, content: bytes) -> Image.Image:
    size = int(crop["width"]), int(crop["height"])
    if crop["mode"] != JPEG_MODE:
        return Image.frombytes("RGB", size, content)
    image = Image.open(io.BytesIO(content))
    if image.size != size:
        raise ValueError(
            f"has {image.width}x{image.height} pixels, and its tables say {size[0]}x{size[1]}"
        )
    return image.convert("RGB")


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The extension; None where it could not be built when the package was installed."""
    spec = importlib.util.find_spec("resnet_cluster.data._pixels")
    if spec is None or spec.origin is None or os.environ.get("RESNET_CLUSTER_PIXELS") == "pil":
        return None
    library = ctypes.CDLL(spec.origin)
    library.pixels_cut.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    library.pixels_crop_bytes.restype = ctypes.c_int64
    assert library.pixels_crop_bytes() == CROP.itemsize, "_pixels.c is not this version's"
    return library
