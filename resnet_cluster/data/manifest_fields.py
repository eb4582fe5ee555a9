"""What a manifest states, field by field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1

MEAN_RESIZE, MEAN_SIDE = 256, 224
"""Of images of many sizes the mean is that of the 224x224 centre after a resize to 256."""

SourceKind = Literal[
    "folder",
    "tar",
    "idx",
    "digits",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "ilsvrc",
    "kaggle",
    "tars",
    "webdataset",
    "parquet",
]
SplitName = Literal["train", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "test")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Triple = Annotated[tuple[float, float, float], Field(strict=False)]
Counts = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=2)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SourceRecord(_Record):
    """Where the images came from."""

    kind: SourceKind
    description: str
    """What was given to `data prepare`, with a path made absolute."""
    sha256: Sha256
    """Of the archive, of the sorted list of file names and sizes, or of the pixels."""


class SplitRecord(_Record):
    """One beton."""

    num_images: Annotated[int, Field(ge=1)]
    class_counts: Counts
    """Images of each class, in the order of the classes."""
    num_bytes: Annotated[int, Field(ge=1)]
    sha256: Sha256
    checksums_sha256: Sha256 | None = None
    """Of `<split>.crc32.npy`: uint32 [n], the CRC-32 of each image's bytes."""


class BadImage(_Record):
    """An image of the source that was left out."""

    name: str
    why: str


class StorageRecord(_Record):
    """How images of many sizes are kept; see `Encoding`."""

    shorter_side: int | None
    longer_side: int | None
    quality: int
    jpeg_share: float
    min_width: int
    max_width: int
    min_height: int
    max_height: int
    num_jpeg: int
    """Images that are JPEG, of all splits; the others are raw."""
    num_kept: int
    """JPEG images that have the bytes of their originals."""


class ManifestFields(_Record):
    """Everything a manifest states; see `Manifest`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    source: SourceRecord
    encoding: str
    """What the originals were (`jpeg`, `png`, `idx`, `digits`, ...): a figure from a JPEG copy of a
    data set is another figure than one from its original pixels."""
    mode: Literal["raw", "jpg", "proportion"] = "raw"
    image_size: Annotated[int, Field(ge=1)] | None
    """Height and width of every image; None where they are of many sizes."""
    storage: StorageRecord | None = None
    """How they are kept then."""
    requested_size: int | None
    """The size asked for by `--size`, if any."""
    classes: Names
    class_names: Names | None = None
    """What people call the classes, where those are ids."""
    train: SplitRecord
    test: SplitRecord
    test_split: Literal["source", "holdout"]
    """Whether the source had a test split, or 20 % of it were held out by class and seed."""
    seed: Annotated[int, Field(ge=0)]
    limit: int | None = None
    """Images of each split that were asked for at most."""
    num_rotated: int = 0
    """Images whose EXIF data ask for a rotation, which is not done."""
    num_bad: int = 0
    """Images of the source that were left out, since they could not be kept."""
    bad: Annotated[tuple[BadImage, ...], Field(strict=False)] = ()
    """The first ten thousand of them."""
    channel_mean: Triple
    """Of the training split, red, green and blue, 0 to 255."""
    channel_std: Triple
    channel_covariance: Annotated[tuple[Triple, Triple, Triple], Field(strict=False)] | None = None
    """Of its colours, in squares of grey levels; None where it was prepared before there was one.
    Where images are of many sizes all three are taken of the same centres as the mean image."""
    mean_sha256: Sha256
    """Of `mean.npy`: float32 [side, side, 3], the training split's mean image; where images are of
    many sizes that of their 224x224 centres, once the shorter side is resized to 256."""
    ffcv_version: str
    """The version whose loader the betons were written for."""
