from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, write_tar
from PIL import Image

from resnet_cluster.data import open_source
from resnet_cluster.data.manifest_fields import SourceRecord
from resnet_cluster.data.opening import is_same_source
from resnet_cluster.data.sources import Source
from resnet_cluster.errors import IntegrityError, UsageError


def _tick(stage: str, done: int, total: int) -> None:
    assert stage
    assert done >= 0
    assert total == 0 or done <= total


def _open(source: object, scratch: Path) -> Source:
    return open_source(str(source), scratch=scratch, tick=_tick)


def _images(num: int = 3) -> dict[str, bytes]:
    return {
        f"{split}/{label}/{place}.png": encoded(Image.new("RGB", (8, 8), (place, shade, 0)))
        for split, shade in (("train", 10), ("test", 20))
        for label in ("cat", "dog")
        for place in range(num)
    }


def _write_folder(folder: Path, images: dict[str, bytes]) -> Path:
    for name, content in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def _contents(source: Source) -> dict[str, list[tuple[int, bytes]]]:
    return {
        split: [(example.label, bytes(source.read(example))) for example in examples]
        for split, examples in source.splits.items()
    }


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "tgz"])
def test_a_tar_is_what_its_folder_is(tmp_path: Path, suffix: str) -> None:
    images = _images()
    folder = _write_folder(tmp_path / "tree", images)
    archive = tmp_path / f"tree.{suffix}"
    with tarfile.open(archive, "w:" + {"tgz": "gz"}.get(suffix, suffix[4:])) as tar:  # type: ignore[call-overload]
        tar.add(folder, "./tree")
    from_folder, from_tar = _open(folder, tmp_path), _open(archive, tmp_path)
    expected = {
        split: [
            (label, images[f"{split}/{name}/{place}.png"])
            for label, name in enumerate(("cat", "dog"))
            for place in range(3)
        ]
        for split in ("train", "test")
    }
    assert _contents(from_folder) == _contents(from_tar) == expected
    assert from_folder.classes == from_tar.classes == ("cat", "dog")
    assert from_tar.splits["train"][0].name == f"tree.{suffix}:./tree/train/cat/0.png"
    assert from_tar.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    from_tar.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree", archive.name]


def _hostile_member(kind: bytes, name: str, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_links_and_devices_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    write_tar(archive, _images())
    with tarfile.open(archive, "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            tar.addfile(_hostile_member(kind, f"train/cat/{kind.decode()}.png", "/etc/passwd"))
    source = _open(archive, tmp_path)
    assert source.num_ignored == 4
    assert len(source.splits["train"]) == 6


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize("name", ["../../evil/1.png", "/tmp/evil/1.png"])
def test_a_tar_whose_names_lead_out_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    archive = tmp_path / f"a.{suffix}"
    write_tar(archive, {**_images(), name: b"evil"})
    with pytest.raises(IntegrityError, match="leads out of it"):
        _open(archive, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name]


def test_the_last_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    images = _images()
    write_tar(archive, images)
    with tarfile.open(archive, "a") as tar:
        member = tarfile.TarInfo("train/cat/0.png")
        tar.addfile(member)
    source = _open(archive, tmp_path)
    assert _contents(source)["train"][0] == (0, b"")
    assert len(source.splits["train"]) == 6


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("cut", [1, 100, 700, 1600, 5000])
def test_a_truncated_tar_is_refused(tmp_path: Path, suffix: str, cut: int) -> None:
    random = np.random.default_rng(0)
    images = {
        f"{label}/{i}.png": encoded(Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)))
        for label in "ab"
        for i in range(6)
    }
    archive = tmp_path / f"a.{suffix}"
    write_tar(archive, images)
    end = archive.stat().st_size
    if suffix == "tar":  # what follows the last image is an end mark and padding
        end = max(i for i, byte in enumerate(archive.read_bytes()) if byte) + 1
    os.truncate(archive, end - cut)
    with pytest.raises(IntegrityError, match=r"truncated"):
        _contents(_open(archive, tmp_path))


def test_a_tar_cut_between_two_images_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    write_tar(archive, _images())
    os.truncate(archive, 6 * 1024)
    with pytest.raises(IntegrityError, match="end mark is missing"):
        _open(archive, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b no gzip", bytes(20_000)])
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(content)
    with pytest.raises((IntegrityError, UsageError), match=r"a\.tar"):
        _open(archive, tmp_path)


def test_pipes_and_loops_in_a_folder_do_not_hold_it_up(tmp_path: Path) -> None:
    folder = _write_folder(tmp_path / "tree", _images())
    os.mkfifo(folder / "train/cat/pipe.png")
    assert len(_open(folder, tmp_path).splits["train"]) == 6
    (folder / "train/cat/loop").symlink_to(folder)
    with pytest.raises(IntegrityError, match="nest more than"):
        _open(folder, tmp_path)


def test_an_image_that_is_gone_or_too_large_is_named(tmp_path: Path) -> None:
    folder = _write_folder(tmp_path / "tree", _images())
    source = _open(folder, tmp_path)
    (folder / "train/cat/0.png").unlink()
    os.truncate(folder / "train/cat/1.png", 1 << 30)
    gone, large = source.splits["train"][:2]
    with pytest.raises(IntegrityError, match=r"cat/0\.png: No such file"):
        source.read(gone)
    with pytest.raises(IntegrityError, match=r"cat/1\.png: has 1024 MiB"):
        source.read(large)


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere", "does not exist"), ("file.txt", "is not a folder or a tar"), ("", "tree|folder")],
)
def test_what_is_no_source_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UsageError, match=message) as caught:
        _open(source, tmp_path)
    assert caught.value.mend


def _touch(folder: Path) -> None:
    (folder / "train/cat/new.png").write_bytes(b"")


def _grow(folder: Path) -> None:
    with (folder / "train/cat/0.png").open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("change", [_touch, _grow])
def test_a_folder_that_changed_is_another_source(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = _write_folder(tmp_path / "tree", _images())
    source = _open(folder, tmp_path)
    record = SourceRecord(kind=source.kind, description=source.description, sha256=source.sha256)
    assert is_same_source(str(folder), record, _tick)
    change(folder)
    assert not is_same_source(str(folder), record, _tick)
    assert not is_same_source("digits", record, _tick)
