"""Small copies of the archives in which large collections of images come."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded
from PIL import Image

from resnet_cluster.data import open_source
from resnet_cluster.data.sources import Source

NUM_EACH = 3


def blots(seed: int, kind: str = "JPEG") -> bytes:
    """A picture of its own for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return encoded(Image.fromarray(pixels).resize((40, 30)), kind)


def photographs(shared_data: Path, number: int) -> list[bytes]:
    """The first photographs of ImageNet's sample."""
    found: list[bytes] = []
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        while len(found) < number and (member := tar.next()):
            if member.isfile():
                content = tar.extractfile(member)
                assert content is not None
                found.append(content.read())
    return found


def tar_of(members: Mapping[str, bytes]) -> bytes:
    """A plain tar, in the order that is given."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def opened(folder: Path, tmp_path: Path) -> Source:
    """The source that a folder is taken for."""
    return open_source(str(folder), scratch=tmp_path, tick=lambda stage, done, total: None)


def contents(source: Source) -> dict[str, list[tuple[str, bytes]]]:
    """Class and content of each image, by split."""
    return {
        split: [(source.classes[e.label], bytes(source.read(e))) for e in examples]
        for split, examples in source.splits.items()
    }


def assert_names(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    """A refusal names what it is about, and how to mend it."""
    message = str(error.value)
    assert [part for part in map(str, parts) if part not in message] == [], message
    assert getattr(error.value, "mend", "")
