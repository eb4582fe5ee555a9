"""Tensors in a file: torch's zip format, written with honest errors and read without running code.

torch is given an open file rather than a path: then a full disk is an OSError, and equal content
makes an equal file (torch would write the name of the file into it).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnet_cluster.errors import IntegrityError


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors, numbers and strings.

    Raises:
        OSError: the storage is full or cannot be written.
    """
    import torch  # here, so that commands which only look for checkpoints do without it

    with path.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch's writer covers what the file raised with its own complaint about positions.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def read_tensors(path: Path) -> dict[str, Any]:
    """Read what `write_tensors` wrote, onto the CPU.

    Raises:
        IntegrityError: the file is not such a file, or holds what would run code.
    """
    import torch

    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a foreign file
        what = str(error).partition("\n")[0]
        raise IntegrityError(f"{path}: not a file of tensors ({what})", mend=_MEND) from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path}: not a dict of tensors", mend=_MEND)
    return content


_MEND = "restore the file, or remove it"
