"""One image of any kind to square RGB pixels, as torchvision's Resize and CenterCrop on PIL."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resnet_cluster.errors import IntegrityError, UsageError

MAX_PIXELS = 80_000_000
"""Of one image: a few kilobytes of a file can claim any number of them."""
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def load_pixels(
    content: bytes | NDArray[np.uint8], name: str, size: int | None
) -> tuple[NDArray[np.uint8], str]:
    """Decode an image and bring it to `size`.

    Args:
        content: an encoded image, or pixels [h, w] or [h, w, 3].
        name: how messages call it.
        size: the shorter side is resized to it (bilinear, antialiased) and the centre cut out;
            None keeps a square image as it is.

    Returns:
        Pixels, uint8 [side, side, 3], and what the image was encoded in, in small letters.

    Raises:
        IntegrityError: it is corrupt, truncated, not an image, or too large to be decoded safely.
        UsageError: it is not square and no size was asked for.
    """
    try:
        image, encoding = _open(content)
        rgb = _resized(_rgb(image), name, size)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # PIL raises whatever its many parsers meet in a damaged file
        unknown = isinstance(error, UnidentifiedImageError)  # it names an object of Python's
        what = "no image format that is known" if unknown else error
        raise IntegrityError(
            f"{name}: is not an image that can be decoded ({what})",
            mend="remove it from the source, or fetch it again",
        ) from error
    return np.asarray(rgb), encoding


def _open(content: bytes | NDArray[np.uint8]) -> tuple[Image.Image, str]:
    if isinstance(content, np.ndarray):
        return Image.fromarray(content), ""
    image = Image.open(io.BytesIO(content))
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS}")
    image.load()
    return image, (image.format or "unknown").lower()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        # PIL would clip 16 bits to 255, which turns most of a picture white.
        levels = np.asarray(image).astype(np.int64)
        image = Image.fromarray((levels.clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    return image if image.mode == "RGB" else image.convert("RGB")


def _resized(image: Image.Image, name: str, size: int | None) -> Image.Image:
    width, height = image.size
    if size is None:
        if width != height:
            raise UsageError(
                f"{name}: is {width}x{height} pixels, and a network needs square images",
                mend="give the size to resize to and crop: --size 32",
            )
        return image
    if width <= height:
        resized = (size, int(size * height / width))
    else:
        resized = (int(size * width / height), size)
    if resized != image.size:
        image = image.resize(resized, Image.Resampling.BILINEAR)
    if image.size == (size, size):
        return image
    left, top = round((resized[0] - size) / 2), round((resized[1] - size) / 2)
    return image.crop((left, top, left + size, top + size))
