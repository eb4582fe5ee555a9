from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_cluster.data import read_labels
from resnet_cluster.data.beton import METADATA, METADATA_START, RawSquares, read_index, read_squares
from resnet_cluster.data.writer import BetonWriter, StoredImage, page_bytes, squares_bytes
from resnet_cluster.errors import IntegrityError

UPSTREAM = """
import sys
import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.loader import Loader
from ffcv.writer import DatasetWriter

for folder, page in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    images, labels = np.load(folder + "/images.npy"), np.load(folder + "/labels.npy")
    pairs = [(image, int(label)) for image, label in zip(images, labels)]
    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    writer = DatasetWriter(folder + "/theirs.beton", fields, page_size=page, num_workers=1)
    writer.from_indexed_dataset(pairs)
    loader = Loader(folder + "/ours.beton", batch_size=64, num_workers=1, drop_last=False)
    read = [(image.numpy().copy(), label.numpy().copy()) for image, label in loader]
    assert np.array_equal(np.concatenate([image for image, _ in read]), images)
    assert np.array_equal(np.concatenate([label for _, label in read])[:, 0], labels)
"""


def _write(path: Path, images: Sequence[np.ndarray], labels: np.ndarray) -> None:
    page = page_bytes(images[0].nbytes)
    with BetonWriter(path, max_images=len(images), page_bytes=page) as writer:
        for image, label in zip(images, labels, strict=True):
            writer.add(StoredImage.raw(image), int(label))


def _random_images(num: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(side)
    return random.integers(0, 256, (num, side, side, 3), np.uint8), random.integers(0, 9, num)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ffcv_writes_the_same_bytes_and_reads_ours(tmp_path: Path, compiled: bool) -> None:
    # 1,500 images of 32x32 fill more than two pages; one of 900x900 needs a page of 4 MiB.
    cases = [(1500, 32, 1 << 21), (3, 900, 1 << 22)]
    arguments = []
    for num, side, page in cases:
        folder = tmp_path / str(side)
        folder.mkdir()
        images, labels = _random_images(num, side)
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", labels)
        _write(folder / "ours.beton", images, labels)
        assert squares_bytes(num, side) == (folder / "ours.beton").stat().st_size
        arguments += [str(folder), str(page)]
    subprocess.run(
        [sys.executable, "-c", UPSTREAM, *arguments],
        env={**os.environ, "NUMBA_DISABLE_JIT": "0" if compiled else "1"},
        check=True,
        timeout=100,
    )
    for folder in tmp_path.iterdir():
        ours, theirs = folder / "ours.beton", folder / "theirs.beton"
        assert ours.read_bytes() == theirs.read_bytes()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    images, labels = _random_images(700, 32)
    _write(tmp_path / "a.beton", images, labels)
    squares = read_squares(tmp_path / "a.beton")
    wanted = np.asarray([699, 0, 0, 350])
    assert np.array_equal(squares.read(wanted), images[wanted])
    assert np.array_equal(read_labels(tmp_path / "a.beton"), labels)
    assert read_labels(tmp_path / "a.beton").dtype == np.int64


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("beton") / "small.beton"
    _write(path, *_random_images(40, 8))
    return path


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "copy.beton"
    shutil.copy(small, path)
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "length",
    [
        *(0, 1, 23, 24, 500, METADATA_START, METADATA_START + 40 * METADATA.itemsize - 1),
        *(1 << 21, (1 << 21) + 100, 1 << 22, (1 << 22) + 1, (1 << 22) + 24, (1 << 22) + 959),
    ],
)
def test_a_truncated_beton_is_refused(copy: Path, length: int) -> None:
    os.truncate(copy, length)
    with pytest.raises(IntegrityError, match=r"copy\.beton: ") as caught:
        read_index(copy)
    assert "data prepare" in caught.value.mend


def test_an_absent_beton_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"none\.beton: cannot be read"):
        read_index(tmp_path / "none.beton")


@pytest.mark.parametrize(
    ("offset", "content", "what"),
    [
        (0, b"\x03", "format version 3"),
        (24, b"\x03", "holds the fields"),
        (METADATA_START, b"\x02", "neither JPEG nor raw"),
        (METADATA_START, b"\x00", "not all raw squares"),
        (METADATA_START + 1, b"\x09", "length is not that of its pixels"),
        (METADATA_START + 1, b"\x00", "without pixels"),
        (METADATA_START + METADATA.itemsize + 5, b"\xff", "does not know"),
    ],
)
def test_what_is_wrong_in_the_tables_is_said(
    copy: Path, offset: int, content: bytes, what: str
) -> None:
    with copy.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    with pytest.raises(IntegrityError, match=what):
        read_squares(copy)


@settings(max_examples=200)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 4000) | st.integers(-40 * 24, -1), st.integers(0, 255)),
        max_size=4,
    )
)
def test_no_edit_of_the_tables_leads_outside_the_file(
    small: Path, tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]]
) -> None:
    content = bytearray(small.read_bytes())
    for place, value in edits:
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "edited.beton"
    path.write_bytes(content)
    try:
        index = read_index(path)
    except IntegrityError:
        return
    assert index.pointers.min() >= 0
    assert (index.pointers + index.lengths <= len(content)).all()
    if index.side is not None:
        RawSquares(index, index.side).read(np.arange(len(index)))


def test_a_writer_that_is_left_by_an_error_leaves_no_beton(tmp_path: Path) -> None:
    path = tmp_path / "half.beton"
    images, labels = _random_images(2, 8)
    with pytest.raises(AssertionError):
        _write(path, [images[0], images[1][:, :, :2]], labels)
    with pytest.raises(IntegrityError):
        read_index(path)
