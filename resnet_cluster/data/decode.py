"""One image of any kind to RGB pixels; resized as torchvision's Resize and CenterCrop on PIL."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resnet_cluster.errors import IntegrityError, UsageError

MAX_PIXELS = 80_000_000
"""Of one image: a few kilobytes of a file can claim any number of them."""
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def square_pixels(image: Image.Image, name: str, size: int | None) -> NDArray[np.uint8]:
    """Square RGB pixels of an image, uint8 [side, side, 3].

    Args:
        image: decoded, in its own colours.
        name: how messages call it.
        size: the shorter side is resized to it (bilinear, antialiased) and the centre cut out;
            None keeps a square image as it is.

    Raises:
        IntegrityError: its pixels have no agreed range.
        UsageError: it is not square and no size was asked for.
    """
    rgb = rgb_image(image, name)
    if size is not None:
        rgb = resized_to_crop(rgb, size, size)
    elif rgb.width != rgb.height:
        raise UsageError(
            f"{name}: is {rgb.width}x{rgb.height} pixels, and a network needs square images",
            mend="give the size to resize to and crop: --size 32",
        )
    return np.asarray(rgb)


def opened_image(content: bytes | NDArray[np.uint8], name: str) -> tuple[Image.Image, str]:
    """Decode an image in its own colours.

    Returns:
        The image, and what it was encoded in, in small letters; empty for plain pixels.

    Raises:
        IntegrityError: it is corrupt, truncated, not an image, or too large to be decoded safely.
    """
    if isinstance(content, np.ndarray):
        return Image.fromarray(content), ""
    with _faults_named(name):
        image = Image.open(io.BytesIO(content))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS}")
        image.load()
        return image, (image.format or "unknown").lower()


def rgb_image(image: Image.Image, name: str) -> Image.Image:
    """The image in RGB, as PIL converts it; 16 bits are scaled to 8.

    Raises:
        IntegrityError: its pixels have no agreed range.
    """
    if image.mode in _SIXTEEN_BIT:
        # PIL would clip 16 bits to 255, which turns most of a picture white.
        levels = np.asarray(image).astype(np.int64)
        image = Image.fromarray((levels.clip(0, 65535) >> 8).astype(np.uint8))
    with _faults_named(name):
        if image.mode == "F":
            raise ValueError("floating-point pixels have no agreed range")
        return image if image.mode == "RGB" else image.convert("RGB")


def resized_to_crop(image: Image.Image, shorter_side: int, side: int) -> Image.Image:
    """The centre of an image whose shorter side is resized, bilinear and antialiased."""
    width, height = image.size
    if width <= height:
        resized = (shorter_side, int(shorter_side * height / width))
    else:
        resized = (int(shorter_side * width / height), shorter_side)
    if resized != image.size:
        image = image.resize(resized, Image.Resampling.BILINEAR)
    if image.size == (side, side):
        return image
    left, top = round((resized[0] - side) / 2), round((resized[1] - side) / 2)
    return image.crop((left, top, left + side, top + side))


def centre_of_resized(image: Image.Image, shorter_side: int, side: int) -> Image.Image:
    """`resized_to_crop` to within rounding; only the centre is resampled, in half the time."""
    width, height = image.size
    scale = shorter_side / min(width, height)
    resized = tuple(
        shorter_side if length == min(width, height) else int(length * scale)
        for length in (width, height)
    )
    (left, right), (top, bottom) = (
        ((start := round((new - side) / 2)) * old / new, (start + side) * old / new)
        for old, new in zip(image.size, resized, strict=True)
    )
    box = (left, top, right, bottom)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)


@contextlib.contextmanager
def _faults_named(name: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # PIL raises whatever its many parsers meet in a damaged file
        unknown = isinstance(error, UnidentifiedImageError)  # it names an object of Python's
        what = "no image format that is known" if unknown else error
        raise IntegrityError(
            f"{name}: is not an image that can be decoded ({what})",
            mend="remove it from the source, fetch it again, or give --on-bad skip",
        ) from error
