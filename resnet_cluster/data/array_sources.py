"""Data sets that come as arrays: scikit-learn's digits, IDX files, and torchvision's CIFAR."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.file_sources import file_sizes
from resnet_cluster.data.manifest_fields import SourceKind, SplitName
from resnet_cluster.data.sources import Example, Source, Tick, names_and_sizes_sha256
from resnet_cluster.errors import IntegrityError

MAX_IDX_BYTES = 2 << 30
DIGITS_SCALE = 4
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_LABELS_SHA256 = "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"
CIFAR_FOLDERS: dict[str, Literal["cifar10", "cifar100"]] = {
    "cifar-10-batches-py": "cifar10",
    "cifar-100-python": "cifar100",
}
_IDX_FILES: dict[SplitName, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class ArraySource(Source):
    """Images that are already pixels; classes keep the numbers that their source gave them.

    Args:
        arrays: for each split, images uint8 [n, h, w] or [n, h, w, 3] and labels [n].
    """

    def __init__(
        self,
        kind: SourceKind,
        *,
        description: str,
        sha256: str,
        encoding: str,
        classes: Sequence[str],
        arrays: dict[SplitName, tuple[NDArray[np.uint8], NDArray[np.int64]]],
    ) -> None:
        super().__init__()
        self.kind, self.description, self.sha256 = kind, description, sha256
        self.encoding, self.classes = encoding, tuple(classes)
        self.recognised = {"idx": "IDX files", "digits": "scikit-learn's digits"}.get(
            kind, f"the files of {kind} as torchvision reads them"
        )
        self._images = np.concatenate([images for images, _ in arrays.values()])
        self.splits, start = {}, 0
        for split, (_, labels) in arrays.items():
            self.splits[split] = [
                Example(f"{description}:{split}:{place}", label, start + place)
                for place, label in enumerate(labels.tolist())
            ]
            start += len(labels)

    def read(self, example: Example) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self._images[example.place]
        return image


def digits_source() -> ArraySource:
    """scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998), one split.

    The originals are 8x8 with 17 grey levels. Levels are spread over 0 to 255, and each pixel
    becomes a 4x4 block (nearest neighbour): 32x32 without inventing or losing anything.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = images.repeat(DIGITS_SCALE, axis=1).repeat(DIGITS_SCALE, axis=2)
    labels = digits.target.astype(np.int64)
    return ArraySource(
        "digits",
        description="digits",
        sha256=hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest(),
        encoding="digits",
        classes=[str(name) for name in digits.target_names],
        arrays={"train": (images, labels)},
    )


def idx_folder(folder: Path) -> Path | None:
    """The folder at or below `folder` that holds the four IDX files, gzipped or not."""
    for candidate in (folder, folder / "raw", folder / "FashionMNIST" / "raw"):
        if all(_idx_file(candidate, name) for pair in _IDX_FILES.values() for name in pair):
            return candidate
    return None


def idx_source(folder: Path, tick: Tick) -> ArraySource:
    """The data set in a folder's IDX files, as LeCun's MNIST and Fashion-MNIST come.

    IDX files carry no class names: Fashion-MNIST is known by its training labels, and the
    classes of any other set are its numbers.

    Raises:
        IntegrityError: a file is damaged, truncated, or does not fit its labels.
    """
    arrays: dict[SplitName, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}
    for split, (images_name, labels_name) in _IDX_FILES.items():
        images = _read_idx(folder, images_name, num_axes=3)
        labels = _read_idx(folder, labels_name, num_axes=1).astype(np.int64)
        if len(images) != len(labels) or len(images) == 0:
            raise IntegrityError(f"{folder}: {len(images)} {split} images, {len(labels)} labels")
        arrays[split] = images, labels
        tick("reading IDX files", len(arrays), len(_IDX_FILES))
    labels = arrays["train"][1]
    is_fashion = (
        hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest() == FASHION_LABELS_SHA256
    )
    return ArraySource(
        "fashion_mnist" if is_fashion else "idx",
        description=str(folder),
        sha256=names_and_sizes_sha256(file_sizes(folder, tick)),
        encoding="idx",
        classes=FASHION_CLASSES if is_fashion else [str(k) for k in range(int(labels.max()) + 1)],
        arrays=arrays,
    )


def cifar_folder(root: Path) -> Path | None:
    """torchvision's folder of CIFAR-10 or CIFAR-100 files, which may be `root` itself."""
    for folder in (root, *(root / name for name in CIFAR_FOLDERS)):
        if folder.name in CIFAR_FOLDERS and folder.is_dir():
            return folder
    return None


def cifar_source(folder: Path, tick: Tick) -> ArraySource:
    """The CIFAR-10 or CIFAR-100 that torchvision keeps in `folder`, by its original pixels.

    Raises:
        IntegrityError: torchvision finds a file damaged or missing.
    """
    from torchvision import datasets

    kind = CIFAR_FOLDERS[folder.name]
    dataset = datasets.CIFAR10 if kind == "cifar10" else datasets.CIFAR100
    try:
        # torchvision checks the MD5 of each file before it unpickles it.
        train, test = (dataset(str(folder.parent), train=train) for train in (True, False))
    except RuntimeError as error:
        raise IntegrityError(
            f"{folder}: torchvision finds it damaged or incomplete",
            mend=f"remove it, or run `resnet-cluster data prepare {kind} --as {kind}`",
        ) from error
    return ArraySource(
        kind,
        description=str(folder),
        sha256=names_and_sizes_sha256(file_sizes(folder, tick)),
        encoding="pixels",
        classes=train.classes,
        arrays={
            "train": (train.data, np.asarray(train.targets, np.int64)),
            "test": (test.data, np.asarray(test.targets, np.int64)),
        },
    )


def _idx_file(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _read_idx(folder: Path, name: str, *, num_axes: int) -> NDArray[np.uint8]:
    path = _idx_file(folder, name)
    assert path is not None
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_IDX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise IntegrityError(f"{path}: is damaged or truncated ({error})") from error
    start = 4 + 4 * num_axes
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    if content[:4] != bytes([0, 0, 8, num_axes]) or len(content) - start != np.prod(shape):
        raise IntegrityError(f"{path}: is damaged: its length is not what its header states")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
