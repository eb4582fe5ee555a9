"""The Ray cluster of a run: one that is running, or one embedded in this process."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import ray
from ray._private import auto_init_hook
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.gcs_utils import create_gcs_channel

from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.errors import ClusterUnreachableError, UsageError

PROBE_DEADLINE_S = 5.0

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody was asked whether they want to be counted
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # `report` blocks for as long as this
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker without a GPU hides none; Ray warns else
}


def chosen_address(address: str | None) -> str | None:
    """The flag's address, else RAY_ADDRESS, else None for an embedded cluster.

    Raises:
        UsageError: an address of a kind that is not supported.
    """
    chosen = address or os.environ.get("RAY_ADDRESS") or None
    if chosen and "://" in chosen:
        raise UsageError(
            f"{chosen}: a driver joins a cluster at HOST:PORT, not at a URL",
            mend="give the address that `ray start` printed, such as 127.0.0.1:6379",
        )
    return None if chosen == "local" else chosen


def needed_address(address: str | None) -> str:
    """The same, where a cluster is needed that outlives this command.

    Raises:
        UsageError: none is named.
    """
    chosen = chosen_address(address)
    if chosen is None:
        raise UsageError(
            "an embedded cluster ends with this command, so there is nothing to detach from",
            mend="name a running cluster with --address, or leave --detach out",
        )
    return chosen


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, or start one that ends with the block.

    Raises:
        ClusterUnreachableError: no cluster answers there.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # A thread that still waits for Ray Train when this block ends would start a cluster of its own.
    auto_init_hook.enable_auto_connect = False
    if address is not None:
        _probe(address)
        # Ray shows a cluster the user's token by itself only where it found the cluster by itself;
        # RAY_AUTH_MODE in the environment is read once, when ray is imported.
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        dashboard = _connect(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error
    try:
        _close_token()
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield Cluster(
            address=address,
            num_cpus=int(resources.get("CPU", 0)),
            num_gpus=int(resources.get("GPU", 0)),
            num_nodes=len(ray.nodes()),  # type: ignore[no-untyped-call]
            dashboard=dashboard,
        )
    finally:
        ray.shutdown()


def _connect(address: str | None) -> str | None:
    """Join the cluster, or start one; returns the URL of its dashboard."""
    if address is None:
        # Nobody takes this machine away with a notice, so no process need listen for one.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        ray.init(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        return None
    context = ray.init(
        address=address,
        log_to_driver=False,
        logging_level=logging.ERROR,
        # Ray Train's helpers look their cluster up again, and give up where a host has two.
        runtime_env={"env_vars": {"RAY_ADDRESS": address}},
    )
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def _probe(address: str) -> None:
    """Fail at once where nothing listens: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        number = int(port)
    except ValueError:
        raise UsageError(f"{address}: not HOST:PORT", mend="such as 127.0.0.1:6379") from None
    try:
        socket.create_connection((host, number), timeout=PROBE_DEADLINE_S).close()
    except (OSError, OverflowError, UnicodeError) as error:  # the last: no name of a host
        raise _no_answer(address, getattr(error, "strerror", None) or str(error)) from error
    with contextlib.closing(create_gcs_channel(address)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=PROBE_DEADLINE_S)
        except grpc.FutureTimeoutError as error:
            raise _no_answer(address, "what listens there is something else") from error


def _no_answer(address: str | None, why: str) -> ClusterUnreachableError:
    return ClusterUnreachableError(
        f"no Ray cluster answers at {address or 'this machine'}: {why}",
        mend="start one with `ray start --head`, or leave --address out",
    )


def _unreachable(address: str | None, error: Exception) -> ClusterUnreachableError:
    cause = str(error.__cause__ or error)
    if "InvalidAuthToken" in cause:
        return ClusterUnreachableError(
            f"the Ray cluster at {address} refuses this user's access token",
            mend=f"copy the cluster's token to {_token_path()}, readable by you alone",
        )
    return _no_answer(address, str(error).strip().partition("\n")[0])


def _close_token() -> None:
    """Ray writes its access token readable by every user of the machine."""
    with contextlib.suppress(OSError):
        _token_path().chmod(0o600)


def _token_path() -> Path:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"
