"""WebDataset shards, read in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from packed_files import assert_names, blots, contents, opened, photographs, tar_of

from resnet_cluster.data import prepare
from resnet_cluster.data.beton import read_index
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.errors import IntegrityError, UsageError

NAMES = ("tench", "kit fox")


def shard(first: int, images: list[bytes]) -> dict[str, bytes]:
    """Members of a shard: images alternate between two classes."""
    members: dict[str, bytes] = {}
    for place, content in enumerate(images, start=first):
        members[f"{place:06d}.jpg"] = content
        members[f"{place:06d}.json"] = b"{}"
        members[f"{place:06d}.cls"] = f"{place % 2}".encode()
    return members


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards to train on, one to validate, one to test."""
    folder = tmp_path / "shards"
    folder.mkdir()
    names = ["train-000000", "train-000001", "train-000002", "val-000000", "test-000000"]
    for number, name in enumerate(names):
        images = [blots(4 * number + place) for place in range(4)]
        (folder / f"imagenet1k-{name}.tar").write_bytes(tar_of(shard(4 * number, images)))
    return folder


def test_images_have_the_class_of_their_key(folder: Path, tmp_path: Path) -> None:
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    source = opened(folder, tmp_path)
    assert source.kind == "webdataset"
    assert contents(source) == {
        "train": [(NAMES[seed % 2], blots(seed)) for seed in range(12)],
        "test": [(NAMES[seed % 2], blots(seed)) for seed in range(12, 16)],
    }
    assert "4 WebDataset shards; 1 others" in source.recognised
    source.close()


def test_classes_without_names_are_numbers(folder: Path, tmp_path: Path) -> None:
    assert opened(folder, tmp_path).classes == ("0", "1")


def test_more_shards_than_are_kept_open(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        images = [blots(2 * number), blots(2 * number + 1)]
        (folder / f"shard-{number:03d}.tar").write_bytes(tar_of(shard(2 * number, images)))
    source = opened(folder, tmp_path)
    assert contents(source) == {"train": [(str(n % 2), blots(n)) for n in range(80)]}
    assert bytes(source.read(source.splits["train"][0])) == blots(0)
    source.close()


def test_real_photographs_end_to_end(shared_data: Path, tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    images = photographs(shared_data, 16)
    (folder / "train-0.tar").write_bytes(tar_of(shard(0, images[:12])))
    (folder / "validation-0.tar").write_bytes(tar_of(shard(12, images[12:])))
    manifest = prepare(str(folder), name="shards", encoding=Encoding(mode="jpg")).manifest
    index = read_index(manifest.beton("train"))
    assert index.labels.tolist() == [place % 2 for place in range(12)]
    content = manifest.beton("train").read_bytes()
    spans = zip(index.pointers.tolist(), index.lengths.tolist(), strict=True)
    assert [content[at : at + length] for at, length in spans] == images[:12]
    assert np.array_equal(read_index(manifest.beton("test")).labels, [0, 1, 0, 1])
    assert not prepare(str(folder), name="shards", encoding=Encoding(mode="jpg")).is_new


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"a.jpg": b"x", "b.jpg": b"x", "b.cls": b"1"}, "the key a has an image and no class"),
        ({"a.jpg": b"x", "a.cls": b"1", "b.cls": b"1"}, "the key b has a class and no image"),
        ({"a.jpg": b"x", "a.png": b"x", "a.cls": b"1"}, "a second image of the key a"),
        ({"a.jpg": b"x", "a.cls": b"one"}, "a.cls: is not the number of a class"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, "a.cls: is not the number of a class"),
        ({"a.jpg": b"x", "a.cls": b"9999999"}, "has the class 9999999"),
    ],
)
def test_what_does_not_belong_together_is_named(
    members: dict[str, bytes], says: str, folder: Path, tmp_path: Path
) -> None:
    path = folder / "imagenet1k-train-000001.tar"
    path.write_bytes(tar_of(members))
    with pytest.raises(IntegrityError) as refused:
        opened(folder, tmp_path)
    assert_names(refused, path, says)


def test_a_truncated_shard_is_named(folder: Path, tmp_path: Path) -> None:
    path = folder / "imagenet1k-train-000002.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(IntegrityError) as refused:
        opened(folder, tmp_path)
    assert_names(refused, path)


def test_classes_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    (folder / "labels.txt").write_text("only one\n")
    with pytest.raises(IntegrityError) as refused:
        opened(folder, tmp_path)
    assert_names(refused, "the class 1", "1 classes")
    (folder / "labels.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(UsageError) as unseen:
        opened(folder, tmp_path)
    assert_names(unseen, "class three has no training images")
