from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.data.tree import Tree, arrange, printable
from resnet_cluster.errors import IntegrityError, UsageError


def test_a_tree_with_splits() -> None:
    names = ["test/cat/1.JPEG", "train/dog/2.png", "train/cat/1.jpg", "train/dog/10.png"]
    tree = arrange(names, "here")
    assert tree.classes == ("cat", "dog")
    assert tree.train == (
        ("train/cat/1.jpg", 0),
        ("train/dog/10.png", 1),
        ("train/dog/2.png", 1),
    )
    assert tree.test == (("test/cat/1.JPEG", 0),)
    assert tree.num_ignored == 0


@pytest.mark.parametrize("prefix", ["", "./", "cifar/", "./a/b/", "train/"])
def test_a_tree_of_one_split_may_lie_below_other_folders(prefix: str) -> None:
    tree = arrange([f"{prefix}b/1.jpg", f"{prefix}a/1.jpg"], "here")
    assert tree.classes == ("a", "b")
    assert tree.test is None


@pytest.mark.parametrize("test", ["test", "val", "valid"])
@pytest.mark.parametrize("prefix", ["", "./root/"])
def test_the_test_split_has_three_names(prefix: str, test: str) -> None:
    names = [f"{prefix}{split}/{label}/1.jpg" for split in ("train", test) for label in "ab"]
    tree = arrange(names, "here")
    assert tree.test is not None
    assert [label for _, label in tree.test] == [0, 1]


def test_other_files_and_hidden_ones_are_counted_and_left_out() -> None:
    others = ["README.md", "a/.hidden.jpg", "a/labels.csv", ".git/x/1.jpg", "a/._1.jpg", "1.jpg"]
    others += ["__MACOSX/a/1.jpg"]
    tree = arrange([*others, "a/1.jpg", "b/1.jpg"], "here")
    assert tree.num_ignored == len(others)
    assert len(tree.train) == 2


@pytest.mark.parametrize("name", ["/etc/a/1.jpg", "../a/1.jpg", "a/../../1.jpg"])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(IntegrityError, match="leads out of it"):
        arrange(["a/1.jpg", "b/1.jpg", name], "here")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no images"),
        (["1.jpg", "a/readme.txt"], "holds no images"),
        (["a/1.jpg", "a/2.jpg"], "one class only, 'a'"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/c/1.jpg"], "class 'c' has test images"),
        (["train/a/1.jpg", "val/a/1.jpg", "test/a/1.jpg"], "cannot tell its splits"),
        (["a/x/1.jpg", "b/x/1.jpg"], "cannot tell its splits"),
        (["a/1.jpg", "b/c/1.jpg"], "cannot tell its splits"),
        (["p/train/a/1.jpg", "q/test/a/1.jpg"], "cannot tell its splits"),
        (["a\n/1.jpg", "b/1.jpg"], "cannot be printed"),
    ],
)
def test_what_is_no_such_tree_is_said(names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        arrange(names, "here")
    assert caught.value.message.startswith("here: ")
    assert caught.value.mend


@given(st.lists(st.text(alphabet="ab./\n\x1b\udc80train-st.jpg", max_size=24), max_size=12))
def test_any_names_give_a_tree_or_a_clear_refusal(names: list[str]) -> None:
    tree, message = _arranged(names)
    if tree is not None:
        assert set(dict(tree.train)) | set(dict(tree.test or ())) <= set(names)
    assert message.isprintable()


def _arranged(names: list[str]) -> tuple[Tree | None, str]:
    try:
        return arrange(names, "here"), ""
    except (UsageError, IntegrityError) as error:
        return None, error.message


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\n") == "a\ufffd[2Jb\ufffd"
