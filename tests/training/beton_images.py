"""A prepared split's images through PIL, one after the other."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from resnet_cluster.data.beton import JPEG_MODE, BetonIndex, read_index


def beton_images(dataset: Path, split: str) -> Iterator[tuple[Image.Image, int]]:
    """Each image of a split and its class, in the order of the file."""
    index = read_index(dataset / f"{split}.beton")
    content = (dataset / f"{split}.beton").read_bytes()
    for place in range(len(index)):
        yield _image(content, index, place), int(index.labels[place])


def _image(content: bytes, index: BetonIndex, place: int) -> Image.Image:
    start = int(index.pointers[place])
    own = content[start : start + int(index.lengths[place])]
    if index.modes[place] == JPEG_MODE:
        return Image.open(io.BytesIO(own)).convert("RGB")
    return Image.frombytes("RGB", (int(index.widths[place]), int(index.heights[place])), own)
