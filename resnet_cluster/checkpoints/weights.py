"""The weights that a run ends with: one file of a state dict, loaded weights-only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cluster.checkpoints.tensors import read_tensors, write_tensors
from resnet_cluster.errors import IntegrityError
from resnet_cluster.files import replaced, sha256_of

if TYPE_CHECKING:
    from torch import Tensor


def save_weights(path: Path, weights: dict[str, Tensor]) -> str:
    """Write a state dict whole or not at all; returns the SHA-256 of the file.

    Equal weights make an equal file.

    Raises:
        OSError: the storage is full or cannot be written.
    """
    with replaced(path) as part:
        write_tensors(part, weights)
    return sha256_of(path)


def load_weights(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a state dict onto the CPU; no code in the file is run.

    Raises:
        IntegrityError: the file is absent, not a state dict, or its SHA-256 is not `sha256`.
    """
    if not path.is_file():
        raise IntegrityError(f"{path}: no weights there", mend="restore the file")
    if sha256 is not None and sha256_of(path) != sha256:
        raise IntegrityError(f"{path}: the SHA-256 differs", mend="restore the file")
    return read_tensors(path)
