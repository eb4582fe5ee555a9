from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_cluster.data import open_source
from resnet_cluster.data.sources import Source
from resnet_cluster.errors import IntegrityError

FASHION = Path("/usr/share/datasets/fashion-mnist")


def _tick(stage: str, done: int, total: int) -> None:
    assert stage
    assert done >= 0
    assert total == 0 or done <= total


def _open(source: object, scratch: Path) -> Source:
    return open_source(str(source), scratch=scratch, tick=_tick)


def test_the_digits_are_scikit_learns(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    source = _open("digits", tmp_path)
    examples = source.splits["train"]
    assert len(examples) == 1797
    assert [example.label for example in examples] == digits.target.tolist()
    for place in range(0, 1797, 50):
        image = np.asarray(source.read(examples[place]))
        levels = image[::4, ::4].astype(float) * 16 / 255
        np.testing.assert_allclose(levels, digits.images[place], atol=16 / 255 / 2)
        assert np.array_equal(image, np.kron(image[::4, ::4], np.ones((4, 4), np.uint8)))


def _write_idx(folder: Path, compress: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folder.mkdir(parents=True)
    arrays = {}
    for split, num in (("train", 30), ("t10k", 10)):
        random = np.random.default_rng(num)
        images = random.integers(0, 256, (num, 28, 28), np.uint8)
        labels = (np.arange(num) % 5).astype(np.uint8)
        arrays["train" if split == "train" else "test"] = images, labels
        for name, header, values in (
            ("images-idx3-ubyte", struct.pack(">iiii", 0x803, num, 28, 28), images),
            ("labels-idx1-ubyte", struct.pack(">ii", 0x801, num), labels),
        ):
            content = header + values.tobytes()
            path = folder / f"{split}-{name}"
            if compress:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)
    return arrays


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("below", ["", "raw", "FashionMNIST/raw"])
def test_a_folder_of_idx_files_is_a_source(tmp_path: Path, below: str, compress: bool) -> None:
    arrays = _write_idx(tmp_path / "idx" / below, compress)
    source = _open(tmp_path / "idx", tmp_path)
    assert (source.kind, source.encoding, source.classes) == ("idx", "idx", tuple("01234"))
    for split, examples in source.splits.items():
        images, labels = arrays[split]
        assert [example.label for example in examples] == labels.tolist()
        assert all(
            np.array_equal(np.asarray(source.read(example)), image)
            for example, image in zip(examples, images, strict=True)
        )


@pytest.mark.parametrize("keep", [0, 3, 12, 500])
@pytest.mark.parametrize("compress", [True, False])
def test_a_truncated_idx_file_is_refused(tmp_path: Path, keep: int, compress: bool) -> None:
    _write_idx(tmp_path / "idx", compress)
    name = "train-images-idx3-ubyte" + (".gz" if compress else "")
    os.truncate(tmp_path / "idx" / name, keep)
    with pytest.raises(IntegrityError, match=f"{name}: is damaged"):
        _open(tmp_path / "idx", tmp_path)


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_is_known(tmp_path: Path) -> None:
    source = _open(FASHION, tmp_path)
    assert (source.kind, source.classes[0], source.classes[9]) == (
        "fashion_mnist",
        "T-shirt/top",
        "Ankle boot",
    )
    assert {split: len(examples) for split, examples in source.splits.items()} == {
        "train": 60_000,
        "test": 10_000,
    }
    assert np.bincount([example.label for example in source.splits["test"]]).tolist() == [1000] * 10


def _write_cifar(folder: Path) -> dict[str, Any]:
    """Files as torchvision keeps them, of random pixels; torchvision's own checksums of them."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    files: dict[str, Any] = {}
    for name in ("data_batch_1", "test_batch"):
        content = {
            "data": random.integers(0, 256, (20, 3072), np.uint8),
            "labels": [*range(10)] * 2,
        }
        files[name] = content
    files["batches.meta"] = {"label_names": [f"class {i}" for i in range(10)]}
    md5 = {}
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    return {"files": files, "md5": md5}


@pytest.mark.parametrize("given_root", [True, False])
def test_a_folder_of_torchvisions_cifar_is_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_root: bool
) -> None:
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "root" / "cifar-10-batches-py"
    written = _write_cifar(folder)
    with pytest.raises(IntegrityError, match="damaged or incomplete"):
        _open(folder, tmp_path)  # these are not CIFAR's real files, and torchvision knows
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", written["md5"]["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", written["md5"]["test_batch"]]])
    monkeypatch.setattr(
        CIFAR10,
        "meta",
        {"filename": "batches.meta", "key": "label_names", "md5": written["md5"]["batches.meta"]},
    )
    source = _open(folder.parent if given_root else folder, tmp_path)
    assert (source.kind, source.encoding) == ("cifar10", "pixels")
    assert source.classes == tuple(f"class {i}" for i in range(10))
    planes = written["files"]["test_batch"]["data"][7].reshape(3, 32, 32)
    assert np.array_equal(source.read(source.splits["test"][7]), planes.transpose(1, 2, 0))
