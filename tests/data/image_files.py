"""Image files and archives that the tests of this room are made of."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Archive:
    """A tar.xz of real images and, by name, what it holds."""

    path: Path
    images: dict[str, bytes]

    def names(self, split: str) -> list[str]:
        """Names of a split in the order that a beton keeps: by class, then by name."""
        return sorted(name for name in self.images if name.startswith(f"{split}/"))


def write_tar(path: Path, images: dict[str, bytes]) -> None:
    """A tar of `images`, compressed as its suffix says, in the reverse of their sorted order."""
    suffix = path.suffix.removeprefix(".")
    mode = "w" if suffix == "tar" else f"w:{suffix}"
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in sorted(images.items(), reverse=True):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """An image file's content."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def photo_files(num: int = 10, side: tuple[int, int] = (16, 16)) -> dict[str, bytes]:
    """A tree of random pictures in two classes, by name."""
    random = np.random.default_rng(0)
    return {
        f"{label}/{place}.png": encoded(
            Image.fromarray(random.integers(0, 256, (*side, 3), np.uint8))
        )
        for label in "ab"
        for place in range(num)
    }


def prepared_names(home: Path) -> list[str]:
    """Everything that lies in the data folder, hidden or not."""
    return sorted(path.name for path in (home / "data").iterdir())
