"""Damage at any place of a data set is found, and the image that it hit is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded
from PIL import Image

from resnet_cluster.data import Manifest, load_manifest
from resnet_cluster.data.beton import (
    HEADER,
    JPEG_MODE,
    METADATA,
    METADATA_START,
    BetonIndex,
    read_index,
)
from resnet_cluster.data.verification import Fault, verify_beton, verify_dataset, verify_images
from resnet_cluster.data.verify import verify
from resnet_cluster.data.writer import MIN_PAGE_BYTES, BetonWriter, StoredImage
from resnet_cluster.errors import PreflightError

NUM_IMAGES = 24
NUM_PLACES = 200

WRITTEN_BY_FFCV = """
import sys
import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.writer import DatasetWriter

images = np.load(sys.argv[1])
fields = {"image": RGBImageField(write_mode="jpg"), "label": IntField()}
writer = DatasetWriter(sys.argv[2], fields, num_workers=1)
writer.from_indexed_dataset([(image, 1) for image in images])
"""


def _tick(stage: str, done: int, total: int) -> None:
    assert done <= total or total == 0


def _blots(seed: int) -> Image.Image:
    blots = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(blots).resize((40 + seed, 30), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A beton of JPEG files."""
    path = tmp_path_factory.mktemp("jpegs") / "train.beton"
    with BetonWriter(path, max_images=NUM_IMAGES, page_bytes=MIN_PAGE_BYTES) as writer:
        for seed in range(NUM_IMAGES):
            image = _blots(seed)
            stored = StoredImage(JPEG_MODE, *image.size, encoded(image, "JPEG"))
            writer.add(stored, seed % 3)
    return path


@pytest.fixture
def copy(digits: Manifest, tmp_path: Path) -> Manifest:
    """The digits, to be damaged."""
    return load_manifest(str(shutil.copytree(digits.folder, tmp_path / "digits")))


def _checksums(index: BetonIndex) -> np.ndarray:
    content = index.path.read_bytes()
    spans = zip(index.pointers.tolist(), index.lengths.tolist(), strict=True)
    return np.array([zlib.crc32(content[at : at + length]) for at, length in spans], np.uint32)


def _hit(index: BetonIndex, offset: int) -> int | None:
    """The image whose bytes an offset lies in."""
    inside = (index.pointers <= offset) & (offset < index.pointers + index.lengths)
    return int(np.flatnonzero(inside)[0]) if inside.any() else None


def _with_byte(path: Path, offset: int, flipped: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (value,) = file.read(1)
        file.seek(offset)
        file.write(bytes([value ^ flipped]))


def test_what_is_whole_passes(jpegs: Path, digits: Manifest, cifar: Manifest) -> None:
    index = read_index(jpegs)
    assert list(verify_images(index, _checksums(index), _tick, "")) == []
    assert list(verify_beton(jpegs, _tick)) == []
    for manifest in (digits, cifar):
        assert list(verify_dataset(manifest, _tick)) == []


def test_every_changed_byte_of_an_image_is_named(jpegs: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.beton"
    shutil.copy(jpegs, path)
    index = read_index(path)
    checksums = _checksums(index)
    random = np.random.default_rng(0)
    for _ in range(NUM_PLACES):
        place = int(random.integers(NUM_IMAGES))
        offset = int(index.pointers[place] + random.integers(index.lengths[place]))
        flipped = int(random.integers(1, 256))
        _with_byte(path, offset, flipped)
        faults = list(verify_images(index, checksums, _tick, ""))
        assert [fault.place for fault in faults] == [place]
        list(verify_beton(path, _tick))  # it may pass without a checksum, but never raises
        _with_byte(path, offset, flipped)
    assert list(verify_images(index, checksums, _tick, "")) == []


def test_a_changed_byte_anywhere_is_found(copy: Manifest) -> None:
    path = copy.beton("train")
    index = read_index(path)
    num_bytes = path.stat().st_size
    random = np.random.default_rng(1)
    table = num_bytes - 24 * len(index)
    tables_end = METADATA_START + METADATA.itemsize * len(index)
    spans = [
        *((0, HEADER.itemsize), (HEADER.itemsize, METADATA_START), (METADATA_START, tables_end)),
        *((tables_end, table), (table, num_bytes), (int(index.pointers[0]), table)),
    ]
    for number in range(NUM_PLACES):
        offset = int(random.integers(*spans[number % len(spans)]))
        bit = 1 << int(random.integers(8))
        _with_byte(path, offset, bit)
        faults = list(verify_dataset(copy, _tick))
        assert faults, offset
        assert all(fault.path == str(path) for fault in faults)
        assert "data prepare digits" in faults[0].mend
        hit = _hit(index, offset)
        assert hit is None or [fault.place for fault in faults] == [hit]
        _with_byte(path, offset, bit)
    assert list(verify_dataset(copy, _tick)) == []


def test_a_file_cut_anywhere_is_found(copy: Manifest) -> None:
    path = copy.beton("train")
    whole = path.read_bytes()
    for length in np.random.default_rng(2).integers(0, len(whole), NUM_PLACES).tolist():
        os.truncate(path, length)
        (fault,) = verify_dataset(copy, _tick)
        assert (fault.path, fault.place) == (str(path), None)
        with path.open("r+b") as file:
            file.seek(length)
            file.write(whole[length:])
    assert list(verify_dataset(copy, _tick)) == []


def _remove(folder: Path) -> None:
    (folder / "train.beton").unlink()


def _change_checksums(folder: Path) -> None:
    _with_byte(folder / "train.crc32.npy", 200, 1)


def _remove_mean(folder: Path) -> None:
    (folder / "mean.npy").unlink()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_remove, "train.beton"),
        (_change_checksums, "train.crc32.npy"),
        (_remove_mean, "mean.npy"),
    ],
)
def test_damage_to_the_other_files_is_found(damage: object, named: str, copy: Manifest) -> None:
    assert callable(damage)
    damage(copy.folder)
    (fault,) = verify_dataset(copy, _tick)
    assert named in fault.message
    assert fault.place is None


def test_an_image_that_is_not_what_its_tables_say(tmp_path: Path) -> None:
    image = _blots(0)
    path = tmp_path / "odd.beton"
    with BetonWriter(path, max_images=3, page_bytes=MIN_PAGE_BYTES) as writer:
        writer.add(StoredImage(JPEG_MODE, image.width, image.height, encoded(image, "JPEG")), 0)
        writer.add(StoredImage(JPEG_MODE, image.width + 1, 30, encoded(image, "JPEG")), 0)
        writer.add(StoredImage(JPEG_MODE, image.width, image.height, encoded(image, "PNG")), 0)
    faults = list(verify_beton(path, _tick))
    assert [fault.place for fault in faults] == [1, 2]
    assert "has 40x30 pixels, and its tables say 41x30" in faults[0].message
    assert "is png, not JPEG" in faults[1].message


def test_a_beton_that_ffcv_has_written(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.stack([np.asarray(_blots(0))] * 9))
    path = tmp_path / "theirs.beton"
    subprocess.run(
        [sys.executable, "-c", WRITTEN_BY_FFCV, tmp_path / "images.npy", path],
        check=True,
        timeout=100,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert list(verify_beton(path, _tick)) == []
    index = read_index(path)
    with path.open("r+b") as file:
        file.seek(int(index.pointers[4]))
        file.write(b"not a JPEG file")
    (fault,) = verify_beton(path, _tick)
    assert fault.place == 4


def test_it_is_done_in_a_process_of_its_own(
    copy: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[Fault] = []
    assert verify(str(copy.folder), on_fault=faults.append) == 0
    _with_byte(copy.beton("test"), int(read_index(copy.beton("test")).pointers[7]), 1)
    assert verify(str(copy.folder), on_fault=faults.append) == 1
    assert [(Path(fault.path).name, fault.place) for fault in faults] == [("test.beton", 7)]
    with pytest.raises(PreflightError):
        verify(str(copy.folder / "nowhere"))
