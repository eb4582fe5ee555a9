"""Job files: from a path to plain values, each with its `file:line`."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from resnet_cluster.errors import JobError
from resnet_cluster.spec.shipped import shipped_jobs
from resnet_cluster.spec.source import JobSource, Value, printable

_NOT_A_FILE = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
    stat.S_IFSOCK: "is a socket",
}


@dataclass(frozen=True)
class Document:
    """What a job file holds."""

    values: dict[str, Value]
    source: JobSource


def load_yaml(path: Path) -> Document:
    """Read a job file, without asking yet whether its keys make sense.

    Raises:
        JobError: it is missing, not a plain file, unreadable, too large, not UTF-8, not YAML, or
            uses more of YAML than a job needs; the error names the line.
    """
    from resnet_cluster.spec.yaml import parse  # imports the parser

    name = printable(str(path), limit=400)
    text = _decoded(_content(path, name), name)
    values, places = parse(text, lambda line: f"{name}:{line}")
    if not isinstance(values, dict):
        message = "is not a job: it holds no `key: value` lines"
        raise JobError(message, where=places[()], mend="start from `resnet-cluster init`")
    return Document(values, JobSource(places))


def _content(path: Path, name: str) -> bytes:
    from resnet_cluster.spec.yaml import MAX_BYTES

    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        _unreadable(path, name, error)
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            what = _NOT_A_FILE.get(kind, "is not a plain file")
            raise JobError(what, where=name, mend="give the path of a job file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        _unreadable(path, name, error)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES // 1024} KiB, and a job file is not"
        raise JobError(message, where=f"{name}:1", mend="give the path of a job file")
    return content


def _unreadable(path: Path, name: str, error: OSError | ValueError) -> NoReturn:
    if not isinstance(error, OSError):
        raise JobError(f"cannot be a path ({error})", where=name, mend="give another") from None
    message = (error.strerror or str(error)).lower()
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        raise JobError(message, where=name, mend="make it readable, or give another") from None
    mend = "check the path; `resnet-cluster init` copies job files to start from"
    if path.name in {job.name for job in shipped_jobs()}:
        mend = f"run `resnet-cluster init`: it copies {path.name} and the other jobs that ship"
    raise JobError("there is no such file", where=name, mend=mend) from None


def _decoded(content: bytes, name: str) -> str:
    mend = "give a job file in UTF-8"
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise JobError("is binary, not text", where=f"{name}:{line}", mend=mend)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8: byte 0x{error.object[error.start]:02x}"
        raise JobError(message, where=f"{name}:{line}", mend=mend) from None
