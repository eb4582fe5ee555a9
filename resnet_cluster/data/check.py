"""Is a prepared data set still what was prepared? What can be seen in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnet_cluster.data.beton import BetonIndex, read_index
from resnet_cluster.data.manifest import Manifest, prepare_again, read_manifest
from resnet_cluster.data.manifest_fields import SPLIT_NAMES, SplitName
from resnet_cluster.errors import IntegrityError
from resnet_cluster.files import sha256_of

HASHED_BYTES = 1 << 30
"""A beton up to this size is hashed before each run, which takes a second or two; `data verify`
hashes the larger ones."""


def check_dataset(folder: Path) -> None:
    """Check every file of a prepared data set against its manifest, before a run.

    Raises:
        IntegrityError: a file is missing, truncated, edited or not a beton of such images. The
            message names the file and what is wrong with it, the mend how to prepare it again.
    """
    manifest = read_manifest(folder)
    for split in SPLIT_NAMES:
        check_tables(manifest, split)
        record, beton = manifest.split(split), manifest.beton(split)
        if record.num_bytes <= HASHED_BYTES and sha256_of(beton) != record.sha256:
            raise _changed(manifest, beton, "was changed after it was written: its sha256 differs")
    manifest.pixel_mean()


def check_tables(manifest: Manifest, split: SplitName) -> BetonIndex:
    """Check a beton's size, tables and classes; returns the tables.

    Raises:
        IntegrityError: the file is missing, truncated, or holds other images than were prepared.
    """
    beton, record = manifest.beton(split), manifest.split(split)
    if not beton.is_file():
        raise _changed(manifest, beton, "is missing")
    num_bytes = beton.stat().st_size
    if num_bytes != record.num_bytes:
        raise _changed(manifest, beton, f"has {num_bytes} bytes, not {record.num_bytes}")
    index = read_index(beton)
    num_classes = len(manifest.classes)
    # Counted only then: a changed label may be any 64-bit number.
    is_known = ((index.labels >= 0) & (index.labels < num_classes)).all()
    counts = tuple(np.bincount(index.labels, minlength=num_classes).tolist()) if is_known else ()
    if index.side != manifest.image_size or counts != record.class_counts:
        raise _changed(manifest, beton, "holds other images than its manifest states")
    return index


def _changed(manifest: Manifest, beton: Path, what: str) -> IntegrityError:
    return IntegrityError(f"{beton}: {what}", mend=prepare_again(manifest))
