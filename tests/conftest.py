"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import Any

import hypothesis
import pytest

PROJECT_ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says how busy the machine is; each test has a deadline of its own.
hypothesis.settings.register_profile("resnet-cluster", deadline=None)
hypothesis.settings.load_profile("resnet-cluster")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what it puts into the background so, and all that is
    # started there inherits it: the tests of Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out by files, and most that start Ray clusters as if they were one file.

    They wait for half of their time, which the other processes' tests make use of.
    """
    from xdist.scheduler import LoadFileScheduling

    class ClustersTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return "clusters" if _turn(file) == 0 else file

    return ClustersTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests, what takes longest comes first: they end together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: _turn(item.nodeid.partition("::")[0]))


BY_THEMSELVES = (
    "test_running_cluster.py",
    "test_own_network.py",
    "test_photographs_through_ray.py",
)
"""Files of tests that start clusters, for another process than the one that has the others."""


@functools.cache
def _turn(file: str) -> int:
    """When a file's turn is: 0 for most that start clusters, then the others, then all the rest."""
    path = PROJECT_ROOT / file
    if not (file.startswith("tests/cluster/") and "mark.cluster" in path.read_text()):
        return len(BY_THEMSELVES) + 1
    return BY_THEMSELVES.index(path.name) + 1 if path.name in BY_THEMSELVES else 0


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images for development; users do not have it, so its tests skip without it."""
    folder = Path(os.environ.get("RESNET_CLUSTER_SHARED_DATA", PROJECT_ROOT.parent / "shared/data"))
    if not (folder / "cifar10-images.tar.xz").is_file():
        pytest.skip(f"real images are not at {folder} (set RESNET_CLUSTER_SHARED_DATA)")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, so that no test reads or writes the developer's own runs."""
    folder = tmp_path / "home"
    monkeypatch.setenv("RESNET_CLUSTER_HOME", str(folder))
    for name in ("RESNET_CLUSTER_STORE", "RESNET_CLUSTER_RUNS", "RESNET_CLUSTER_DATA"):
        monkeypatch.delenv(name, raising=False)
    return folder
