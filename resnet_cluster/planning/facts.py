"""What a plan must know of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from resnet_cluster.errors import PreflightError

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The numbers of a prepared data set, as its manifest states them."""

    sha256: str
    """Identity of its pixels, labels and classes."""
    num_classes: int
    image_size: int
    """Height and width of every image, in pixels."""
    num_train_images: int
    """Images of the training split, before a hold-out is taken from it."""
    num_test_images: int

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The facts that a manifest states.

        Raises:
            PreflightError: its images are of many sizes, which nothing trains on yet.
        """
        if manifest.image_size is None:
            raise PreflightError(
                f"{manifest.name}: holds images of many sizes ({manifest.mode}), and this version "
                "trains on raw squares",
                mend="prepare it again under another name with --size, for example --size 64",
            )
        return cls(
            sha256=manifest.sha256,
            num_classes=len(manifest.classes),
            image_size=manifest.image_size,
            num_train_images=manifest.train.num_images,
            num_test_images=manifest.test.num_images,
        )
