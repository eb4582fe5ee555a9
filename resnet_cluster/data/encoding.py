"""In what form, and at what size, a data set's images are kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_cluster.data.beton import JPEG_MODE
from resnet_cluster.data.decode import (
    centre_of_resized,
    opened_image,
    rgb_image,
    square_pixels,
)
from resnet_cluster.data.manifest_fields import MEAN_RESIZE, MEAN_SIDE
from resnet_cluster.data.writer import PAGE_BYTES, StoredImage, page_bytes
from resnet_cluster.errors import IntegrityError, UsageError

Mode = Literal["raw", "jpg", "proportion"]
Content = bytes | NDArray[np.uint8]
"""An encoded image, or pixels [h, w] or [h, w, 3]."""

MIN_SIDE = 8
"""Pixels: smaller images are taken for broken ones; ffcv's own centre crop dies of 1x1."""
MAX_SQUARE = 1024
"""Pixels of a raw square's side."""
DEFAULT_QUALITY = 90
"""Of JPEG; ffcv-imagenet's betons have it too."""
DEFAULT_JPEG_SHARE = 0.5
_MAX_SIDE = 2**16 - 1
_EXIF_ORIENTATION = 0x0112


class Encoded(NamedTuple):
    """An image ready to be written.

    Attributes:
        format: what the original was encoded in, in small letters; empty for plain pixels.
        is_kept: whether the original's own bytes are kept.
        is_rotated: whether its EXIF data ask for a rotation, which is not done (torchvision's
            loader does not rotate either).
        mean_crop: uint8 [side, side, 3], what the data set's mean is taken of.
    """

    stored: StoredImage
    format: str
    is_kept: bool
    is_rotated: bool
    mean_crop: NDArray[np.uint8]


class Form(Protocol):
    """How the images of a data set are kept."""

    @property
    def page_bytes(self) -> int:
        """Bytes of a beton's page."""

    @property
    def mean_side(self) -> int:
        """Side of the crops that the mean is taken of."""

    @property
    def words(self) -> str:
        """The form, for people."""

    def encode(self, content: Content, name: str, place: int) -> Encoded:
        """Bring an image into the form.

        Args:
            content: the original.
            name: how messages call it.
            place: in its split.

        Raises:
            IntegrityError: it is corrupt, truncated, not an image, or too small or large.
            UsageError: it does not fit the others.
        """


@dataclass(frozen=True, kw_only=True)
class Squares:
    """Raw squares of one size; the mean is taken of the squares themselves.

    Attributes:
        size: side in pixels to resize and crop to; None takes images that are such squares.
        side: of every image.
    """

    size: int | None
    side: int

    @property
    def page_bytes(self) -> int:
        return page_bytes(3 * self.side**2)

    @property
    def mean_side(self) -> int:
        return self.side

    @property
    def words(self) -> str:
        return f"{self.side}x{self.side}"

    def encode(self, content: Content, name: str, place: int) -> Encoded:
        image, kind = opened_image(content, name)
        pixels = square_pixels(image, name, self.size)
        if len(pixels) > MAX_SQUARE:
            raise UsageError(
                f"{name}: is {len(pixels)}x{len(pixels)} pixels, and a raw square has {MAX_SQUARE} "
                "at most",
                mend="give the size to resize to with --size, or keep it as it is with --mode jpg",
            )
        if len(pixels) != self.side:
            raise UsageError(
                f"{name}: is {len(pixels)}x{len(pixels)} pixels, and others are {self.words}",
                mend="give the size to resize to and crop: --size 32",
            )
        return Encoded(StoredImage.raw(pixels), kind, False, _is_rotated(image), pixels)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Images of many sizes.

    Attributes:
        mode: `jpg`; `raw` pixels; or `proportion`, a share of the images as JPEG, the rest raw.
        shorter_side, longer_side: pixels; an image whose side is longer is reduced to it. None
            leaves the sizes as they are.
        quality: of the JPEG files that are made: 1 to 100.
        jpeg_share: of the images, where the mode is `proportion`: 0 to 1.
    """

    mode: Mode
    shorter_side: int | None = None
    longer_side: int | None = None
    quality: int = DEFAULT_QUALITY
    jpeg_share: float = DEFAULT_JPEG_SHARE

    @property
    def page_bytes(self) -> int:
        return PAGE_BYTES

    @property
    def mean_side(self) -> int:
        return MEAN_SIDE

    @property
    def words(self) -> str:
        kinds = {"raw": "raw", "jpg": "JPEG", "proportion": f"{100 * self.jpeg_share:g} % JPEG"}
        caps = [
            f"their {which} side at most {cap}"
            for which, cap in (("shorter", self.shorter_side), ("longer", self.longer_side))
            if cap
        ]
        return f"{kinds[self.mode]}, {' and '.join(caps) or 'at their full size'}"

    def encode(self, content: Content, name: str, place: int) -> Encoded:
        """A JPEG that need not be reduced keeps its bytes where it is grey or of three colours.

        All else is decoded, reduced with an antialiased bilinear filter, and encoded.
        """
        image, kind = opened_image(content, name)
        rgb = rgb_image(image, name)
        _check_side(rgb, name)
        size = self.reduced(*rgb.size)
        is_whole = size == rgb.size
        reduced = rgb if is_whole else rgb.resize(size, Image.Resampling.BILINEAR)
        is_kept = self.makes_jpeg(place) and is_whole and _is_plain_jpeg(image, kind)
        if is_kept:
            assert isinstance(content, bytes)
            stored = StoredImage(JPEG_MODE, *size, content)
        else:
            stored = self._stored(reduced, place)
        _check_page(stored, name)
        mean_crop = np.asarray(centre_of_resized(reduced, MEAN_RESIZE, MEAN_SIDE))
        return Encoded(stored, kind, is_kept, _is_rotated(image), mean_crop)

    def makes_jpeg(self, place: int) -> bool:
        """Whether the image at a place of its split becomes a JPEG."""
        if self.mode != "proportion":
            return self.mode == "jpg"
        # Spread evenly: images of a class lie together, and each class gives its share.
        return int((place + 1) * self.jpeg_share) > int(place * self.jpeg_share)

    def reduced(self, width: int, height: int) -> tuple[int, int]:
        """The size to which an image of that size is reduced."""
        scale = 1.0
        if self.shorter_side:
            scale = min(scale, self.shorter_side / min(width, height))
        if self.longer_side:
            scale = min(scale, self.longer_side / max(width, height))
        if scale == 1.0:
            return width, height
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _stored(self, image: Image.Image, place: int) -> StoredImage:
        if not self.makes_jpeg(place):
            return StoredImage.raw(np.asarray(image))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=self.quality)
        return StoredImage(JPEG_MODE, *image.size, file.getvalue())


def _is_plain_jpeg(image: Image.Image, kind: str) -> bool:
    # Four inks need a conversion that ffcv's decoder does not do.
    return kind == "jpeg" and image.mode in ("RGB", "L")


def _is_rotated(image: Image.Image) -> bool:
    return image.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)


def _check_side(image: Image.Image, name: str) -> None:
    if min(image.size) < MIN_SIDE or max(image.size) > _MAX_SIDE:
        raise IntegrityError(
            f"{name}: is {image.width}x{image.height} pixels, and a side has {MIN_SIDE} to "
            f"{_MAX_SIDE}",
            mend="remove it from the source, or leave such images out with --on-bad skip",
        )


def _check_page(stored: StoredImage, name: str) -> None:
    if len(stored.content) > PAGE_BYTES:
        raise IntegrityError(
            f"{name}: takes {len(stored.content) / 2**20:.1f} MiB at "
            f"{stored.width}x{stored.height} pixels, and a page of a beton holds "
            f"{PAGE_BYTES >> 20}",
            mend="reduce large images with --shorter-side, or leave them out with --on-bad skip",
        )
