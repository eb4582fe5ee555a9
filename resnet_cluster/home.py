"""Where the tool keeps its state: under RESNET_CLUSTER_HOME, never in the working directory.

<home>/store.db   the index of results    (RESNET_CLUSTER_STORE, a SQLAlchemy URL)
<home>/runs/      one folder per run      (RESNET_CLUSTER_RUNS)
<home>/data/      one folder per data set (RESNET_CLUSTER_DATA)
"""

from __future__ import annotations

import os
from pathlib import Path

from resnet_cluster.errors import PreflightError


def home() -> Path:
    """The state folder: RESNET_CLUSTER_HOME, or `$XDG_DATA_HOME/resnet-cluster`.

    Raises:
        PreflightError: a file lies where it or a folder above it should be; so for the others.
    """
    if named := os.environ.get("RESNET_CLUSTER_HOME"):
        return _checked(Path(named), "RESNET_CLUSTER_HOME")
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return _checked(Path(data_home) / "resnet-cluster", "RESNET_CLUSTER_HOME")


def runs_root() -> Path:
    """The folder that holds one folder per run."""
    return _folder("RESNET_CLUSTER_RUNS", "runs")


def data_root() -> Path:
    """The folder that holds one folder per prepared data set."""
    return _folder("RESNET_CLUSTER_DATA", "data")


def store_url() -> str:
    """The SQLAlchemy URL of the result store."""
    return os.environ.get("RESNET_CLUSTER_STORE") or f"sqlite:///{home() / 'store.db'}"


def has_results() -> bool:
    """Whether there may be a result: a store or runs, which opening would otherwise make."""
    named = os.environ.get("RESNET_CLUSTER_STORE")
    return bool(named) or (home() / "store.db").exists() or runs_root().exists()


def _folder(variable: str, name: str) -> Path:
    named = os.environ.get(variable)
    return _checked(Path(named) if named else home() / name, variable)


def _checked(path: Path, variable: str) -> Path:
    folder = path.expanduser().absolute()
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        why = "is" if there == folder else f"cannot be made, since {there} is"
        raise PreflightError(
            f"{folder}: {why} not a folder",
            mend=f"move that away, or set {variable} to another folder",
        )
    return folder
