"""Is a prepared data set still what was prepared?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnet_cluster.data.beton import read_index
from resnet_cluster.data.manifest import (
    SPLIT_NAMES,
    Manifest,
    SplitName,
    prepare_again,
    read_manifest,
)
from resnet_cluster.errors import IntegrityError
from resnet_cluster.files import sha256_of


def check_dataset(folder: Path) -> None:
    """Check every file of a prepared data set against its manifest, the content included.

    Raises:
        IntegrityError: a file is missing, truncated, edited or not a beton of such images. The
            message names the file and what is wrong with it, the mend how to prepare it again.
    """
    manifest = read_manifest(folder)
    for split in SPLIT_NAMES:
        _check_split(manifest, split)
    manifest.pixel_mean()


def _check_split(manifest: Manifest, split: SplitName) -> None:
    beton, record = manifest.beton(split), manifest.split(split)
    if not beton.is_file():
        raise _changed(manifest, beton, "is missing")
    num_bytes = beton.stat().st_size
    if num_bytes != record.num_bytes:
        raise _changed(manifest, beton, f"has {num_bytes} bytes, not {record.num_bytes}")
    index = read_index(beton)
    counts = np.bincount(index.labels, minlength=len(manifest.classes))
    if index.side != manifest.image_size or tuple(counts.tolist()) != record.class_counts:
        raise _changed(manifest, beton, "holds other images than its manifest states")
    if sha256_of(beton) != record.sha256:
        raise _changed(manifest, beton, "was changed after it was written: its sha256 differs")


def _changed(manifest: Manifest, beton: Path, what: str) -> IntegrityError:
    return IntegrityError(f"{beton}: {what}", mend=prepare_again(manifest))
