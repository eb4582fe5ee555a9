"""What a manifest says of the images that a conversion has kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from resnet_cluster.data.beton import JPEG_MODE
from resnet_cluster.data.chunks import Chunk
from resnet_cluster.data.encoding import Encoded, Encoding
from resnet_cluster.data.manifest_fields import BadImage, SplitName, StorageRecord
from resnet_cluster.data.statistics import PixelSums

MAX_NAMED = 10_000
"""Bad images that a manifest names."""


@dataclass
class Kept:
    """Gathers it, chunk by chunk.

    Attributes:
        sums: of the training images' pixels.
    """

    sums: PixelSums
    formats: set[str] = field(default_factory=set)
    bad: list[BadImage] = field(default_factory=list)
    num_bad: int = 0
    num_rotated: int = 0
    num_jpeg: int = 0
    num_as_they_came: int = 0
    widths: tuple[int, int] = (1 << 31, 0)
    heights: tuple[int, int] = (1 << 31, 0)

    def add(self, chunk: Chunk, split: SplitName) -> None:
        """Take a chunk of a split into account."""
        for _, encoded in chunk.encoded:
            self._add(encoded)
        if split == "train":
            self.sums.merge(chunk.sums)
        self.num_bad += len(chunk.bad)
        room = MAX_NAMED - len(self.bad)
        self.bad += [BadImage(name=name, why=why) for name, why in list(chunk.bad.items())[:room]]

    def storage(self, encoding: Encoding) -> StorageRecord:
        """How images of many sizes are kept."""
        return StorageRecord(
            shorter_side=encoding.shorter_side,
            longer_side=encoding.longer_side,
            quality=encoding.quality,
            jpeg_share=encoding.jpeg_share,
            min_width=self.widths[0],
            max_width=self.widths[1],
            min_height=self.heights[0],
            max_height=self.heights[1],
            num_jpeg=self.num_jpeg,
            num_kept=self.num_as_they_came,
        )

    def _add(self, encoded: Encoded) -> None:
        stored = encoded.stored
        self.formats.add(encoded.format)
        self.num_rotated += encoded.is_rotated
        self.num_jpeg += stored.mode == JPEG_MODE
        self.num_as_they_came += encoded.is_kept
        self.widths = _widened(self.widths, stored.width)
        self.heights = _widened(self.heights, stored.height)


def _widened(span: Iterable[int], value: int) -> tuple[int, int]:
    least, most = span
    return min(least, value), max(most, value)
