"""The files behind a network of a user's: found by reading, hashed as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from resnet_cluster.errors import UsageError
from resnet_cluster.spec import find_code
from resnet_cluster.spec.code import MAX_BYTES

FILES = {
    "wide.py": "import torch\nfrom kit import blocks\nfrom kit.deep.heads import head\n",
    "kit/__init__.py": "",
    "kit/blocks.py": "from . import sizes\nfrom .deep import heads as h\n",
    "kit/sizes.py": "WIDTH = 3\n",
    "kit/deep/__init__.py": "from .. import sizes\n",
    "kit/deep/heads.py": "def head():\n    import late\n",
    "late.py": "",
    "unused.py": "x = 1\n",
    "kit/unused.py": "x = 1\n",
}
USED = [path for path in FILES if "unused" not in path]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a network in it."""
    for path, text in FILES.items():
        (tmp_path / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / path).write_text(text)
    monkeypatch.chdir(tmp_path / "src")
    return tmp_path / "src"


def test_it_is_the_module_and_what_that_imports_from_beside_it(root: Path) -> None:
    code = find_code("wide:net")
    assert code.root == root
    assert not code.is_installed
    assert sorted(path.as_posix() for path in code.files) == sorted(USED)
    assert {"wide", "kit", "kit.deep", "kit.deep.heads"} <= set(code.modules)
    assert "wide" not in sys.modules


@pytest.mark.parametrize("path", FILES)
def test_the_hash_is_that_of_what_is_used(root: Path, path: str) -> None:
    before = find_code("wide:net").sha256
    (root / path).write_text(FILES[path] + "# more\n")
    assert (find_code("wide:net").sha256 != before) == (path in USED)


def test_names_are_hashed_too(root: Path) -> None:
    before = find_code("kit.blocks:net").sha256
    (root / "kit/sizes.py").rename(root / "kit/heights.py")
    (root / "kit/blocks.py").write_text(FILES["kit/blocks.py"].replace("sizes", "heights"))
    assert find_code("kit.blocks:net").sha256 != before


def test_the_working_directory_comes_first_and_a_hash_chooses(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "wide.py").write_text("# as it was\n")
    monkeypatch.syspath_prepend(kept)
    own = find_code("wide:net")
    assert own.root == root
    monkeypatch.chdir(tmp_path)
    elder = find_code("wide:net")
    assert elder.root == kept
    monkeypatch.chdir(root)
    assert find_code("wide:net", sha256=elder.sha256).root == kept
    with pytest.raises(UsageError, match="not the one that the run was planned with"):
        find_code("wide:net", sha256="0" * 64)


def test_of_an_installed_package_its_own_files_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    for path, text in {
        "nets/__init__.py": "import other\nfrom nets import wide",
        "nets/wide.py": "",
        "other.py": "",
    }.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    monkeypatch.syspath_prepend(site)
    code = find_code("nets:wide")
    assert code.is_installed
    assert [path.as_posix() for path in code.files] == ["nets/__init__.py", "nets/wide.py"]


def test_a_star_takes_all_of_a_package(root: Path) -> None:
    (root / "wide.py").write_text("from kit import *\n")
    found = [path.as_posix() for path in find_code("wide:net").files]
    assert {"kit/blocks.py", "kit/unused.py"} <= set(found)


def test_a_broken_file_hides_no_copy_that_is_wanted(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "wide.py").write_text("# whole\n")
    monkeypatch.chdir(kept)
    sha256 = find_code("wide:net").sha256
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(kept)
    (root / "wide.py").write_text("def (:\n")
    assert find_code("wide:net", sha256=sha256).root == kept
    with pytest.raises(UsageError, match="is not Python"):
        find_code("wide:net")


def test_a_network_of_ours_is_not_hashed_with_it(root: Path) -> None:
    (root / "resnet_cluster").mkdir()
    (root / "resnet_cluster/__init__.py").write_text("")
    (root / "wide.py").write_text("from resnet_cluster import nets\n")
    assert [path.as_posix() for path in find_code("wide:net").files] == ["wide.py"]


@pytest.mark.parametrize(
    ("entry", "text", "says"),
    [
        ("absent:net", "", "no module 'absent' in the working directory"),
        ("wide:net", "def (:\n", "is not Python"),
        ("wide:net", "\0", "is not Python"),
        ("wide:net", f"x = '{'x' * MAX_BYTES}'", "more than 2 MiB"),
        ("kit:net", "", None),
    ],
)
def test_what_cannot_be_found_or_read(root: Path, entry: str, text: str, says: str | None) -> None:
    (root / "wide.py").write_text(text)
    if says is None:
        assert find_code(entry).files
        return
    with pytest.raises(UsageError, match=says) as refused:
        find_code(entry)
    assert refused.value.mend


def test_imports_that_go_round_and_out_are_followed_once(root: Path) -> None:
    (root / "wide.py").write_text("import late\nfrom ... import nothing\nfrom .... import x\n")
    (root / "late.py").write_text("import wide\nimport late.nothing\n")
    assert [path.as_posix() for path in find_code("wide:net").files] == ["late.py", "wide.py"]
