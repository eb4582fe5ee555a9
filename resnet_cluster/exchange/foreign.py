"""A file of weights that somebody else has written: safetensors, or torch's own, weights alone."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import stat
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from resnet_cluster.errors import IntegrityError, UsageError
from resnet_cluster.spec.source import printable

MAX_BYTES = 2 << 30
"""Of a file: eight times the weights of the largest network."""
MAX_HEADER_BYTES = 16 << 20
JOB_KEY = "resnet_cluster.job"
"""Of a safetensors file's metadata that `export` writes: the job, as JSON."""
DATASET_KEY = "resnet_cluster.dataset_sha256"
"""The same of the data set that the job names."""

_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")
_SAVE = "save the network's state dict alone: torch.save(net.state_dict(), path), or safetensors"


@dataclass(frozen=True, eq=False, kw_only=True)
class ForeignWeights:
    """What a file holds."""

    path: Path
    format: Literal["safetensors", "torch"]
    sha256: str
    """Of the file."""
    tensors: dict[str, Any]
    """By name, prefixes taken off; values of a torch file need not be tensors."""
    taken_from: str = ""
    """Key of the dict around them; empty where there is none."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of a safetensors file."""


def read_foreign(path: Path) -> ForeignWeights:
    """Read a safetensors file, or one of torch.save, onto the CPU; no code in it is run.

    A dict around the weights under `state_dict`, `model` or `model_state_dict` is opened, and the
    prefixes `module.` and `_orig_mod.` are taken off where every name has them.

    Raises:
        UsageError: there is no such file.
        IntegrityError: it is damaged, of another kind, or holds what would run code.
    """
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if _has_header(content):
        tensors, metadata = _from_safetensors(content, path)
        return ForeignWeights(
            path=path,
            format="safetensors",
            sha256=sha256,
            tensors=_without_prefixes(tensors),
            metadata=metadata,
        )
    found, taken_from = _unwrapped(_from_torch(content, path), path)
    return ForeignWeights(
        path=path,
        format="torch",
        sha256=sha256,
        tensors=_without_prefixes(found),
        taken_from=taken_from,
    )


def _content(path: Path) -> bytes:
    """All of a plain file; hashed and read from the same bytes, lest it change in between."""
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        _check_file(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(descriptor)


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a plain file"
        raise UsageError(f"{_name(path)}: {what}", mend="name a file of weights")
    if status.st_size > MAX_BYTES:
        raise IntegrityError(
            f"{_name(path)}: has {status.st_size:,} bytes, more than the weights of any network",
            mend=_SAVE,
        )


def _unreadable(path: Path, error: OSError | ValueError) -> UsageError:
    if not isinstance(error, OSError):
        return UsageError(f"{_name(path)}: cannot be a path ({error})", mend="name another")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return UsageError(f"{_name(path)}: there is no such file", mend="check the path")
    words = (error.strerror or str(error)).lower()
    return UsageError(f"{_name(path)}: {words}", mend="make it readable, or name another")


def _has_header(content: bytes) -> bool:
    """Whether a file begins as safetensors do: the length of a header, and its brace."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8


def _from_safetensors(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors.torch import load

    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER_BYTES:
        message = f"{_name(path)}: its header has {length:,} bytes, more than any network needs"
        raise IntegrityError(message, mend="write it again without what is not needed")
    try:
        tensors: dict[str, Tensor] = load(content)
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    except Exception as error:  # the reader raises many kinds on a damaged file
        what = _first_line(error)
        message = f"{_name(path)}: not a whole safetensors file ({what})"
        raise IntegrityError(message, mend="fetch it or write it again") from None
    return tensors, metadata


def _from_torch(content: bytes, path: Path) -> Any:
    import torch

    try:
        _check_archive(content)
        with warnings.catch_warnings(action="ignore"):  # of what is refused in our own words
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a foreign file
        if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
            message = f"{_name(path)}: holds more than tensors ({code[1]}), which would run code"
            raise IntegrityError(message, mend=_SAVE) from None
        # Torch's own advice comes first in its message: to read it with all the code in it.
        reason = re.search(r"WeightsUnpickler error:\s*([^\n]+)", str(error))
        is_advice = str(error).startswith("Weights only load failed")
        what = reason[1] if reason else "" if is_advice else _first_line(error)
        message = f"{_name(path)}: neither a safetensors file nor one of torch.save"
        message += f" ({printable(what, limit=200)})" if what else ""
        raise IntegrityError(message, mend=f"fetch it again, or {_SAVE}") from None


def _check_archive(content: bytes) -> None:
    """Refuse an archive that is larger once it is opened; torch compresses nothing."""
    if not content.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            records = archive.infolist()
    except zipfile.BadZipFile:
        raise ValueError("a damaged archive") from None
    is_stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
    if not is_stored or sum(record.file_size for record in records) > len(content):
        raise ValueError("a compressed archive, which torch does not write")


def _unwrapped(content: Any, path: Path) -> tuple[dict[str, Any], str]:
    """The state dict, and the key that it was found under."""
    if not isinstance(content, Mapping):
        message = f"{_name(path)}: holds a {type(content).__name__}, not a dict of tensors"
        raise IntegrityError(message, mend=_SAVE)
    around = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
    if len(around) > 1:
        message = f"{_name(path)}: holds weights under {' and '.join(around)}"
        raise IntegrityError(message, mend=f"choose one, and {_SAVE}")
    found = content[around[0]] if around else content
    return {str(name): value for name, value in found.items()}, around[0] if around else ""


def _without_prefixes(tensors: dict[str, Any]) -> dict[str, Any]:
    while prefix := next((each for each in _PREFIXES if _all_begin(tensors, each)), ""):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _all_begin(tensors: dict[str, Any], prefix: str) -> bool:
    return bool(tensors) and all(name.startswith(prefix) for name in tensors)


def _name(path: Path) -> str:
    return printable(str(path), limit=400)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__, limit=200)
