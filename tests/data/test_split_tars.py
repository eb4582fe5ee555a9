"""A tar for each split, and what a folder of images may not hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from packed_files import assert_names, blots, contents, opened, tar_of

from resnet_cluster.errors import IntegrityError, UsageError


def files(first: int) -> dict[str, bytes]:
    """Two images of each of two classes."""
    return {
        f"{label}/{n}.jpg": blots(first + 2 * "ab".index(label) + n)
        for label in "ab"
        for n in range(2)
    }


@pytest.mark.parametrize("layout", ["folders", "folders in a folder", "tars"])
def test_a_tar_for_each_split(layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    for split, first in (("train", 0), ("val", 10)):
        members = files(first)
        if layout == "folders in a folder":
            members = {f"./{split}/{name}": content for name, content in members.items()}
        if layout == "tars":
            members = {
                f"{label}.tar": tar_of({n: c for n, c in members.items() if n[0] == label})
                for label in "ab"
            }
        (folder / f"{split}.tar").write_bytes(tar_of(members))
    source = opened(folder, tmp_path)
    assert source.kind == "tars"
    assert contents(source) == {
        "train": [("a", blots(0)), ("a", blots(1)), ("b", blots(2)), ("b", blots(3))],
        "test": [("a", blots(10)), ("a", blots(11)), ("b", blots(12)), ("b", blots(13))],
    }
    source.close()
    (folder / "val.tar").write_bytes((folder / "val.tar").read_bytes()[:3000])
    with pytest.raises(IntegrityError) as refused:
        opened(folder, tmp_path)
    assert_names(refused, folder / "val.tar")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of class folders."""
    for name, content in files(0).items():
        path = tmp_path / "tree" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "tree"


def test_a_class_folder_without_images_is_named(tree: Path, tmp_path: Path) -> None:
    (tree / "train/.hidden").mkdir()
    assert opened(tree, tmp_path).classes == ("a", "b")
    (tree / "train/c").mkdir()
    (tree / "train/d").mkdir()
    (tree / "train/c/notes.txt").write_text("no image")
    with pytest.raises(UsageError) as refused:
        opened(tree, tmp_path)
    assert_names(refused, tree / "train/c", "1 others")


def test_pipes_are_left_out_and_counted(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "train/a/pipe.jpg")
    source = opened(tree, tmp_path)
    assert source.num_ignored == 1
    assert len(source.splits["train"]) == 4
