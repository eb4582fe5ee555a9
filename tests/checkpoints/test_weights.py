"""The file of weights: whole, verified, and read without running code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch

from resnet_cluster.checkpoints import load_weights, save_weights
from resnet_cluster.errors import IntegrityError
from resnet_cluster.nets import build_net


def make_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """The state dict of the smallest net."""
    torch.manual_seed(seed)
    return build_net(family="cifar", depth=8, shortcut="A", num_classes=10).state_dict()


def test_round_trip(tmp_path: Path) -> None:
    weights = make_weights()
    sha256 = save_weights(tmp_path / "weights.pt", weights)
    assert sha256 == hashlib.sha256((tmp_path / "weights.pt").read_bytes()).hexdigest()
    loaded = load_weights(tmp_path / "weights.pt", sha256=sha256)
    assert list(loaded) == list(weights)
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


def test_equal_weights_make_equal_files(tmp_path: Path) -> None:
    """Whatever the file is called and whenever it is written."""
    one = save_weights(tmp_path / "one.pt", make_weights())
    other = save_weights(tmp_path / "other" / "weights.pt", make_weights())
    assert one == other
    assert save_weights(tmp_path / "one.pt", make_weights(seed=1)) != one


def test_plain_torch_reads_it(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.pt", make_weights())
    loaded = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert list(loaded) == list(make_weights())


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no weights there"):
        load_weights(tmp_path / "weights.pt")


def test_changed_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    sha256 = save_weights(path, make_weights())
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff")
    with pytest.raises(IntegrityError, match="SHA-256"):
        load_weights(path, sha256=sha256)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02]q\x00.", b"not weights"])
def test_foreign_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"weights\.pt"):
        load_weights(path)


def test_file_of_something_else(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "weights.pt")
    with pytest.raises(IntegrityError, match="not a dict"):
        load_weights(tmp_path / "weights.pt")


class Intruder:
    """An object whose unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"weight": Intruder(tmp_path / "made")}, tmp_path / "weights.pt")
    with pytest.raises(IntegrityError):
        load_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "made").exists()
