from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import encoded
from PIL import Image
from torchvision.transforms import functional

from resnet_cluster.data.decode import MAX_PIXELS, opened_image, square_pixels
from resnet_cluster.errors import IntegrityError, UsageError


def load_pixels(content: bytes | np.ndarray, name: str, size: int | None) -> tuple[np.ndarray, str]:
    """Square pixels, and what they were encoded in."""
    image, kind = opened_image(content, name)
    return square_pixels(image, name, size), kind


def _picture(height: int, width: int, mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(height * 1000 + width)
    pixels = random.integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.integers(8, 48))
def test_a_size_resizes_and_crops_as_torchvision_does(height: int, width: int, size: int) -> None:
    image = _picture(height, width)
    expected = functional.center_crop(functional.resize(image, size), [size, size])
    pixels, encoding = load_pixels(encoded(image), "x", size)
    assert np.array_equal(pixels, np.asarray(expected))
    assert encoding == "png"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "GIF")),
        *(("CMYK", "JPEG"), ("CMYK", "TIFF"), ("L", "JPEG"), ("RGB", "BMP"), ("RGB", "WEBP")),
    ],
)
def test_every_mode_becomes_the_rgb_that_pil_makes_of_it(mode: str, kind: str) -> None:
    content = encoded(_picture(16, 16, mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    pixels, encoding = load_pixels(content, "x", None)
    assert np.array_equal(pixels, expected)
    assert encoding == kind.lower()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels, _ = load_pixels(encoded(Image.fromarray(levels), kind), "x", None)
    assert np.array_equal(pixels, np.repeat((levels // 256)[:, :, None], 3, axis=2))


@pytest.mark.parametrize("axes", [2, 3])
def test_plain_pixels_are_taken_as_they_are(axes: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3)[:axes], np.uint8)
    loaded, encoding = load_pixels(pixels, "x", None)
    assert np.array_equal(loaded, pixels if axes == 3 else np.repeat(pixels[:, :, None], 3, 2))
    assert encoding == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        encoded(_picture(32, 32), "JPEG")[:-200],
        encoded(_picture(32, 32), "PNG")[:-40],
        encoded(_picture(32, 32), "PNG")[:20],
        encoded(Image.new("F", (8, 8)), "TIFF"),
    ],
)
def test_a_bad_image_is_named(content: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"^a\.tar:dog/1\.png: is not an image"):
        load_pixels(content, "a.tar:dog/1.png", 32)


def test_a_decompression_bomb_is_not_decoded() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    bomb = encoded(Image.new("1", (side, side)))
    assert len(bomb) < 100_000
    with pytest.raises(IntegrityError, match="pixels are more than"):
        load_pixels(bomb, "x", 32)


def test_an_image_that_is_not_square_asks_for_a_size() -> None:
    with pytest.raises(UsageError, match="x: is 20x10 pixels") as caught:
        load_pixels(encoded(_picture(10, 20)), "x", None)
    assert "--size 32" in caught.value.mend
