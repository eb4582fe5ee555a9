"""Where a figure comes from: the code, its versions, and the command that asked for it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from resnet_cluster.spec import TRAINING_SEMANTICS

GIT_DEADLINE_S = 5.0

_RECORDED = ("resnet-cluster", "torch", "torchvision", "ray", "ffcv", "numpy", "pillow")


def command_line() -> str:
    """The command that this process runs, as it would be typed."""
    typed = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    # A path need not be UTF-8, and a record is.
    return typed.encode(errors="backslashreplace").decode()


def versions() -> dict[str, str]:
    """Versions of what figures depend on: Python, packages, and the meaning of a recipe."""
    found = {"python": sys.version.split()[0], "training-semantics": str(TRAINING_SEMANTICS)}
    for package in _RECORDED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of this package's source, `-dirty` where files differ; None outside a checkout."""
    package = Path(__file__).resolve().parent.parent
    if not (package.parent / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(package.parent), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=GIT_DEADLINE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
