"""Where state is kept, and what is said where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_cluster.errors import PreflightError
from resnet_cluster.home import data_root, home, runs_root, store_url


def test_everything_lies_in_the_home(home: Path) -> None:
    assert (runs_root(), data_root()) == (home / "runs", home / "data")
    assert store_url() == f"sqlite:///{home / 'store.db'}"


def test_without_one_it_is_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RESNET_CLUSTER_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert home() == tmp_path / "share/resnet-cluster"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".local/share/resnet-cluster"


@pytest.mark.parametrize("below", ["", "deeper/still"])
@pytest.mark.parametrize(
    ("variable", "ask"),
    [
        ("RESNET_CLUSTER_HOME", home),
        ("RESNET_CLUSTER_RUNS", runs_root),
        ("RESNET_CLUSTER_DATA", data_root),
    ],
)
def test_a_file_in_the_way_is_named(
    variable: str, ask: object, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv(variable, str(file / below))
    assert callable(ask)
    with pytest.raises(PreflightError) as refused:
        ask()
    assert str(file) in refused.value.message
    assert variable in refused.value.mend
