from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_cluster.data import Manifest, check_dataset, check_name, list_datasets, load_manifest
from resnet_cluster.data.manifest import MANIFEST_NAME, read_manifest
from resnet_cluster.errors import IntegrityError, PreflightError, UsageError


@pytest.fixture
def copy(digits: Manifest, home: Path) -> Path:
    """A copy of the prepared digits under the name `copy`."""
    folder = home / "data" / "copy"
    shutil.copytree(digits.folder, folder)
    return folder


def test_a_data_set_is_found_by_its_name_and_by_its_folder(copy: Path, digits: Manifest) -> None:
    by_name, by_folder = load_manifest("copy"), load_manifest(str(copy))
    assert by_name.folder == by_folder.folder == copy
    assert by_name.model_dump() == digits.model_dump()
    assert by_name.beton("test") == copy / "test.beton"


def test_identity_is_that_of_pixels_labels_and_classes(digits: Manifest) -> None:
    def sha256(**changed: object) -> str:
        return digits.model_copy(update=changed).sha256

    assert sha256(name="other", seed=7, encoding="jpeg") == digits.sha256
    assert sha256(classes=digits.classes[::-1]) != digits.sha256
    assert sha256(train=digits.test) != digits.sha256
    assert sha256(test=digits.train) != digits.sha256


def test_what_the_manifest_states_is_what_lies_beside_it(digits: Manifest) -> None:
    for split in ("train", "test"):
        content = (digits.folder / f"{split}.beton").read_bytes()
        record = digits.split(split)  # type: ignore[arg-type]
        assert record.sha256 == hashlib.sha256(content).hexdigest()
        assert record.num_bytes == len(content)
    assert digits.train.num_images + digits.test.num_images == 1797
    assert sum(digits.train.class_counts) == digits.train.num_images
    assert (digits.encoding, digits.image_size, digits.mode) == ("digits", 32, "raw")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("digits", "resnet-cluster data prepare digits --as digits"),
        (
            "cifar10",
            "resnet-cluster data prepare cifar10 --as cifar10"
            "    # 170 MB to download, 185 MB of disk",
        ),
        (
            "imagenet",
            "resnet-cluster data prepare /data/imagenet --as imagenet"
            "    # 147 GB of disk; 80 minutes on 2 cores",
        ),
        ("mine", "resnet-cluster data prepare FOLDER_OR_TAR --as mine"),
    ],
)
def test_a_data_set_that_is_not_prepared_names_the_line_that_prepares_it(
    home: Path, name: str, command: str
) -> None:
    with pytest.raises(PreflightError, match=f"no data set named '{name}'") as caught:
        load_manifest(name)
    assert caught.value.mend == command


@pytest.mark.parametrize("name", ["", "A", "-a", "a" * 64, "a b", "a\n", "../a", "é", "a.b"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a data set") as caught:
        check_name(name)
    assert caught.value.message.isprintable()


def test_a_folder_that_is_not_there_is_said(home: Path) -> None:
    with pytest.raises(PreflightError, match="does not exist"):
        load_manifest("/nowhere/at/all")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"[]", "is not a manifest"),
        (b"\xff\xfe", "is damaged"),
        (b"[" * 200_000, "is damaged"),
        (b'{"schema_version": 2}', "schema_version 2"),
        (b"{}", "schema_version None"),
        (b'{"schema_version": 1}', "is damaged"),
        (b" " * (17 << 20), "too large"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(IntegrityError, match=message):
        read_manifest(tmp_path)


def test_an_edited_manifest_is_refused(copy: Path) -> None:
    path = copy / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["seed"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match="was edited"):
        load_manifest("copy")


@settings(max_examples=150)
@given(data=st.data())
def test_no_changed_byte_of_a_manifest_changes_what_it_says(
    digits: Manifest, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((digits.folder / MANIFEST_NAME).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp() / "changed-manifest"
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST_NAME).write_bytes(content)
    with contextlib.suppress(IntegrityError):
        assert read_manifest(folder).model_dump() == digits.model_dump()


def test_a_whole_data_set_passes(digits: Manifest) -> None:
    check_dataset(digits.folder)


def _missing(folder: Path) -> None:
    (folder / "test.beton").unlink()


def _shorter(folder: Path) -> None:
    os.truncate(folder / "test.beton", 3_000_000)


def _other(folder: Path) -> None:
    shutil.copy(folder / "train.beton", folder / "test.beton")


def _no_mean(folder: Path) -> None:
    (folder / "mean.npy").unlink()


def _other_mean(folder: Path) -> None:
    with (folder / "mean.npy").open("ab") as file:
        file.write(b"\0")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_missing, r"test\.beton: is missing"),
        (_shorter, r"test\.beton: has 3000000 bytes"),
        (_other, r"test\.beton: has \d+ bytes"),
        (_no_mean, r"mean\.npy: No such file"),
        (_other_mean, r"mean\.npy: was changed"),
    ],
)
def test_damage_is_named_with_its_mend(copy: Path, damage: object, message: str) -> None:
    damage(copy)  # type: ignore[operator]
    with pytest.raises(IntegrityError, match=message) as caught:
        check_dataset(copy)
    assert caught.value.mend == (
        f"remove {copy} and run `resnet-cluster data prepare digits --as digits`"
    )


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_beton_passes(
    digits: Manifest, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    if not folder.exists():
        shutil.copytree(digits.folder, folder)
    path = folder / "test.beton"
    with path.open("r+b") as file:
        offset = int(place * path.stat().st_size)
        file.seek(offset)
        before = file.read(1)
        file.seek(offset)
        file.write(bytes([before[0] ^ (1 << bit)]))
        file.flush()
        try:
            with pytest.raises(IntegrityError, match=r"test\.beton"):
                check_dataset(folder)
        finally:
            file.seek(offset)
            file.write(before)


def test_data_sets_are_listed_and_broken_ones_are_said(copy: Path, home: Path) -> None:
    broken = home / "data" / "broken"
    broken.mkdir()
    (home / "data" / ".hidden.part").mkdir()
    (home / "data" / "gone").symlink_to(home / "nowhere")
    manifests, errors = list_datasets()
    assert [manifest.folder for manifest in manifests] == [copy]
    assert [str(broken) in errors[0].message, "gone" in errors[1].message] == [True, True]


def test_nothing_prepared_is_an_empty_list(home: Path) -> None:
    assert list_datasets() == ([], [])
