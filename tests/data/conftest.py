"""Prepared data sets that the tests of this room share: the digits, and images of CIFAR-10."""

from __future__ import annotations

import lzma
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_files import Archive, photo_files, write_tar

from resnet_cluster.data import Manifest, prepare

NUM_EACH = 20


@pytest.fixture(scope="session")
def cifar_archive(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """20 real CIFAR-10 images of each class and split, as the whole archive lays them out."""
    images: dict[str, bytes] = {}
    seen: Counter[str] = Counter()
    whole = lzma.decompress((shared_data / "cifar10-images.tar.xz").read_bytes())
    for name, content in _members(whole):
        folder = name.rpartition("/")[0]
        if content and seen[folder] < NUM_EACH:
            seen[folder] += 1
            images[name] = content
    path = tmp_path_factory.mktemp("archive") / "cifar10-part.tar.xz"
    write_tar(path, images)
    return Archive(path, images)


@pytest.fixture(scope="session")
def cifar(cifar_archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """`cifar_archive`, prepared."""
    return _prepared(str(cifar_archive.path), "cifar10", tmp_path_factory)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """scikit-learn's digits, prepared."""
    return _prepared("digits", "digits", tmp_path_factory)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A tar of `photo_files`."""
    path = tmp_path / "photos.tar"
    write_tar(path, photo_files())
    return path


def _members(tar: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of a plain tar's members: tarfile takes seconds for 60,000."""
    offset = 0
    while name := tar[offset : offset + 100].rstrip(b"\0"):
        num_bytes = int(tar[offset + 124 : offset + 135], 8)
        yield name.decode(), tar[offset + 512 : offset + 512 + num_bytes]
        offset += 512 + -(-num_bytes // 512) * 512


def _prepared(source: str, name: str, factory: pytest.TempPathFactory) -> Manifest:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_CLUSTER_HOME", str(factory.mktemp(name)))
        patch.delenv("RESNET_CLUSTER_DATA", raising=False)
        return prepare(source, name=name).manifest
