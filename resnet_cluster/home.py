"""Where the tool keeps its state: under RESNET_CLUSTER_HOME, never in the working directory.

<home>/store.db   the index of results    (RESNET_CLUSTER_STORE, a SQLAlchemy URL)
<home>/runs/      one folder per run      (RESNET_CLUSTER_RUNS)
<home>/data/      one folder per data set (RESNET_CLUSTER_DATA)
"""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The state folder: RESNET_CLUSTER_HOME, or `$XDG_DATA_HOME/resnet-cluster`."""
    if named := os.environ.get("RESNET_CLUSTER_HOME"):
        return Path(named).expanduser().absolute()
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data_home).expanduser().absolute() / "resnet-cluster"


def runs_root() -> Path:
    """The folder that holds one folder per run."""
    return _folder("RESNET_CLUSTER_RUNS", "runs")


def data_root() -> Path:
    """The folder that holds one folder per prepared data set."""
    return _folder("RESNET_CLUSTER_DATA", "data")


def store_url() -> str:
    """The SQLAlchemy URL of the result store."""
    return os.environ.get("RESNET_CLUSTER_STORE") or f"sqlite:///{home() / 'store.db'}"


def _folder(variable: str, name: str) -> Path:
    named = os.environ.get(variable)
    return Path(named).expanduser().absolute() if named else home() / name
