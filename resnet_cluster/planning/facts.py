"""What a plan must know of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from resnet_cluster.data import MEAN_SIDE

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The numbers of a prepared data set, as its manifest states them."""

    sha256: str
    """Identity of its pixels, labels and classes."""
    num_classes: int
    image_size: int | None
    """Height and width of every image, in pixels; None where they are of many sizes."""
    num_train_images: int
    """Images of the training split, before a hold-out is taken from it."""
    num_test_images: int
    mean_size: int | None = None
    """Height and width of the mean image; None where it is that of the images."""
    has_covariance: bool = True
    """Whether the covariance of its colours is known."""

    train_bytes: int = 0
    """Size of the training split's file."""
    page_bytes: int = 1
    """Of a page of it."""

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The facts that a manifest states."""
        is_squares = manifest.image_size is not None
        return cls(
            sha256=manifest.sha256,
            num_classes=len(manifest.classes),
            image_size=manifest.image_size,
            num_train_images=manifest.train.num_images,
            num_test_images=manifest.test.num_images,
            mean_size=None if is_squares else MEAN_SIDE,
            # Of raw squares it is computed when the run begins.
            has_covariance=is_squares or manifest.channel_covariance is not None,
            train_bytes=manifest.train.num_bytes,
            page_bytes=manifest.page_bytes,
        )
