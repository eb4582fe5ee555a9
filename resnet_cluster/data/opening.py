"""What a user may name as a source, and how each is opened."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_cluster.data.array_sources import (
    cifar_folder,
    cifar_source,
    digits_source,
    idx_folder,
    idx_source,
)
from resnet_cluster.data.file_sources import FolderSource, TarSource, file_sizes
from resnet_cluster.data.imagenet import imagenet_source
from resnet_cluster.data.manifest import KNOWN_SOURCES
from resnet_cluster.data.manifest_fields import SourceRecord
from resnet_cluster.data.parquet import parquet_source
from resnet_cluster.data.sources import (
    DISK_FULL,
    Source,
    Tick,
    file_sha256,
    names_and_sizes_sha256,
)
from resnet_cluster.data.split_tars import split_tars_source
from resnet_cluster.data.webdataset import webdataset_source
from resnet_cluster.errors import PreflightError, UsageError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
SOCKET_TIMEOUT_S = 30.0


def open_source(source: str, *, scratch: Path, tick: Tick) -> Source:
    """Open what a user named: a word, a folder or a tar archive.

    Args:
        source: `digits`, `cifar10`, `cifar100` or `fashion_mnist` (all but the digits are
            downloaded by torchvision), else a path: a tree of images, a tar of one, or a folder
            of IDX files, of torchvision's CIFAR files, of ImageNet as its makers or Kaggle
            distribute it, of a tar for each split, of WebDataset shards, or of parquet files as
            Hugging Face's.
        scratch: an existing folder for what is downloaded or decompressed on the way.

    Raises:
        UsageError: it is none of these.
        PreflightError: it cannot be downloaded.
        IntegrityError: it is damaged.
    """
    if source == "digits":
        return digits_source()
    if source in KNOWN_SOURCES:
        return _download(source, scratch / "download", tick)
    path = source_path(source)
    if path.is_file():
        return TarSource(path, scratch, tick)
    return (
        _array_source(path, tick)
        or imagenet_source(path, tick)
        or webdataset_source(path, tick)
        or split_tars_source(path, tick)
        or parquet_source(path, tick)
        or FolderSource(path, tick)
    )


def source_path(source: str) -> Path:
    """The absolute path that a source names.

    Raises:
        UsageError: there is no such folder or archive.
    """
    path = Path(os.path.abspath(Path(source).expanduser()))
    if path.is_dir() or (path.is_file() and path.name.lower().endswith(TAR_SUFFIXES)):
        return path
    what = "is not a folder or a tar archive" if path.exists() else "does not exist"
    raise UsageError(
        f"{source}: {what}",
        mend=f"give a folder of images, a tar of one, or one of {', '.join(KNOWN_SOURCES)}",
    )


def is_same_source(source: str, record: SourceRecord, tick: Tick) -> bool:
    """Whether a data set was prepared from `source` as it is now.

    Raises:
        UsageError: there is no such source.
    """
    if source in KNOWN_SOURCES:
        return record.kind == source
    path = source_path(source)
    if path.is_file():
        return (
            record.kind == "tar" and file_sha256(path, tick, "hashing the archive") == record.sha256
        )
    folder = cifar_folder(path) or idx_folder(path) or path
    return record.sha256 == names_and_sizes_sha256(file_sizes(folder, tick))


def _array_source(folder: Path, tick: Tick) -> Source | None:
    if cifar := cifar_folder(folder):
        return cifar_source(cifar, tick)
    if idx := idx_folder(folder):
        return idx_source(idx, tick)
    return None


def _download(name: str, folder: Path, tick: Tick) -> Source:
    import socket

    from torchvision import datasets

    socket.setdefaulttimeout(SOCKET_TIMEOUT_S)  # torchvision's own requests have none
    known = {
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
        "fashion_mnist": datasets.FashionMNIST,
    }
    folder.mkdir()
    try:
        with _growth_reported(folder, tick):
            known[name](str(folder), download=True)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        raise PreflightError(
            f"{name} cannot be downloaded: {error}",
            mend="fetch it on a machine that can, and give its folder instead: "
            f"`resnet-cluster data prepare FOLDER --as {name}`",
        ) from error
    found = _array_source(folder, tick)
    assert found is not None
    found.description = name
    return found


@contextmanager
def _growth_reported(folder: Path, tick: Tick) -> Iterator[None]:
    """A sign of life for each second in which more bytes have arrived."""
    done = threading.Event()

    def report() -> None:
        largest = 0
        while not done.wait(1.0):
            num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if num_bytes > largest:
                largest = num_bytes
                tick("downloading", num_bytes, 0)

    watcher = threading.Thread(target=report, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
