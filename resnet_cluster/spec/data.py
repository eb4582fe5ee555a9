"""The images of a job: their data set, their split, and what is done to a pixel."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from resnet_cluster.spec.base import Spec, SpecError

Side = Annotated[int, Field(ge=8, le=4096)]
Place = Annotated[float, Field(ge=0, le=1e9)]
Normalize = Literal["pixel_mean", "channel_mean", "channel_mean_std", "torchvision"]

TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_STD = (0.229, 0.224, 0.225)
"""Of the channels, where white is 1: what torchvision's own weights were trained with."""


def _on_one_line(text: str) -> str:
    """Refuse a path that cannot be shown on one line: with control or line-ending characters."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            raise SpecError(
                "",
                f"a path or name cannot hold the character U+{ord(character):04X}",
                mend="give the name of a prepared data set, or its folder",
            )
    return text


class AugmentSpec(Spec):
    """Augmentation of the training images (sections 3.4 and 4.2)."""

    pad: Annotated[int, Field(ge=0, le=32)]
    """Pixels of padding on each side before a random crop to the original size; 0 does neither."""
    flip: bool
    """Whether a training image is mirrored with probability one half."""
    color: Literal["none", "pca"] = "none"
    """`pca` shifts an image's colour along the principal components of the training set's colours,
    each by N(0, 0.1) of their deviation along it (Krizhevsky et al. 2012)."""


class GrowSpec(Spec):
    """Progressive resizing: crops begin small, and grow in steps of 32 pixels."""

    from_size: Side
    """Side of the crops at the beginning, in pixels."""
    begin: Place
    """Where they begin to grow, in the unit of the job's length (epochs or iterations)."""
    end: Place
    """Where they have the full size."""

    @model_validator(mode="after")
    def _grows(self) -> GrowSpec:
        if self.begin > self.end:
            raise SpecError("end", "the crops' growth ends before it begins", mend="move its end")
        return self


class RandomResizedSpec(Spec):
    """A random part of the image's area, of a random shape, resized to a square."""

    kind: Literal["random_resized"]
    size: Side
    """Side of the crop, in pixels."""
    scale: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...],
        Field(strict=False, min_length=2, max_length=2),
    ] = (0.08, 1.0)
    """Least and greatest share of the image's area."""
    ratio: Annotated[
        tuple[Annotated[float, Field(gt=0, le=100)], ...],
        Field(strict=False, min_length=2, max_length=2),
    ] = (3 / 4, 4 / 3)
    """Least and greatest ratio of the part's width to its height."""
    grow: GrowSpec | None = None
    """Smaller crops at first; none by default."""

    @model_validator(mode="after")
    def _in_order(self) -> RandomResizedSpec:
        for name in ("scale", "ratio"):
            least, greatest = getattr(self, name)
            if least > greatest:
                raise SpecError(name, f"{name} falls from {least} to {greatest}", mend="swap them")
        if self.grow and self.grow.from_size >= self.size:
            message = f"crops cannot grow from {self.grow.from_size} to {self.size} pixels"
            raise SpecError("grow.from_size", message, mend="begin with a smaller size")
        return self


class ShorterSideJitterSpec(Spec):
    """The shorter side resized to a random length, and a random crop of that (section 3.4)."""

    kind: Literal["shorter_side_jitter"]
    size: Side
    """Side of the crop, in pixels (224 in the paper)."""
    shorter_side: Annotated[tuple[Side, ...], Field(strict=False, min_length=2, max_length=2)] = (
        256,
        480,
    )
    """Least and greatest length of the shorter side, in pixels."""

    @model_validator(mode="after")
    def _fits(self) -> ShorterSideJitterSpec:
        least, greatest = self.shorter_side
        if least > greatest:
            message = f"shorter_side falls from {least} to {greatest}"
            raise SpecError("shorter_side", message, mend="swap them")
        if self.size > least:
            message = f"a crop of {self.size} pixels does not fit into a side of {least}"
            raise SpecError("size", message, mend=f"set it to {least} or less")
        return self


Crop = Annotated[RandomResizedSpec | ShorterSideJitterSpec, Field(discriminator="kind")]


class ViewSpec(Spec):
    """What is seen of an image that is measured: the centre, once its shorter side is resized."""

    resize: Side
    """Length of the shorter side, in pixels."""
    size: Side
    """Side of the centre that is kept, in pixels."""

    @model_validator(mode="after")
    def _fits(self) -> ViewSpec:
        if self.size > self.resize:
            message = f"a centre of {self.size} pixels does not fit into a side of {self.resize}"
            raise SpecError("size", message, mend=f"set it to {self.resize} or less")
        return self


class DataSpec(Spec):
    """The images: a prepared data set, its split and what is done to a pixel."""

    name: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_on_one_line)]
    """The name given to `data prepare --as`, or the folder of a prepared data set."""
    holdout: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Training images kept aside, stratified by class: plateau and selection may look at them."""
    crop: Crop | None = None
    """How training images are cropped and resized; none takes raw squares as they are."""
    view: ViewSpec | None = None
    """What is seen of an image that is measured; none takes raw squares as they are."""
    shuffle_pages: Annotated[int, Field(ge=0, le=10**9)] = 0
    """For data larger than memory: pages of the training split's file (8 MiB each for photographs)
    that are shuffled together, and read once an epoch. 0 shuffles all images."""
    augment: AugmentSpec
    """Augmentation of the training images; evaluation sees the image as it is."""
    normalize: Normalize = "pixel_mean"
    """What is subtracted: the mean image (the paper), or the mean colour; `_std` divides too.
    `torchvision` takes the constants that torchvision's own weights expect, whatever the images."""

    @model_validator(mode="after")
    def _crops_once(self) -> DataSpec:
        if self.crop and self.augment.pad:
            message = "data.crop crops the images already, and data.augment.pad would do so again"
            raise SpecError("augment.pad", message, mend="set data.augment.pad to 0")
        return self

    @property
    def cuts(self) -> bool:
        """Whether images are cropped and resized, and the version of `pixels` matters."""
        return self.crop is not None or self.view is not None
