"""Run a job in this process: on an embedded cluster, or as the driver of one that is running."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from resnet_cluster.cluster.capacity import own_machine
from resnet_cluster.cluster.connection import chosen_address, connected
from resnet_cluster.cluster.noise import NOISE_NAME, noise_in
from resnet_cluster.cluster.preflight import (
    check_memory,
    check_resources,
    check_space,
)
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.cluster.submission import Claim, FoundRun, PlannedJob
from resnet_cluster.host_memory import available_bytes
from resnet_cluster.results import AttemptEnded, EventLog, last_attempt

if TYPE_CHECKING:
    from resnet_cluster.cluster.driver import Tell


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a run is started and watched."""

    address: str | None
    """Ray cluster to join; None takes RAY_ADDRESS, or else starts one in this process."""
    claim: Claim
    """Finds or creates the run, once nothing stands in its way."""
    display: Callable[[FoundRun, TextIO, TextIO], contextlib.AbstractContextManager[Tell]]
    """Opens a display on the real stdout and stderr."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """How an attempt that this process drove has ended."""

    found: FoundRun
    ended: AttemptEnded
    signal: int | None
    """The signal that asked for the end, if one did."""


def launch(planned: PlannedJob, runs_root: Path, how: Launch) -> Launched:
    """Drive an attempt at a job's run to its end.

    Raises:
        PreflightError: the machine or the cluster cannot hold the job.
        ClusterUnreachableError: no cluster answers at the address.
        RunTakenError: another process drives the run.
    """
    address = chosen_address(how.address)
    check_space(runs_root, planned.plan.storage_bytes)
    if address is None:
        check_resources(planned.job, own_machine(), planned.source)
        check_memory(planned.job, planned.plan, available_bytes())
    stop = StopRequest()
    with contextlib.ExitStack() as stack:
        real_out, real_err = stack.enter_context(noise_in(runs_root / NOISE_NAME))
        stack.enter_context(signals_to(stop, at_most=1))
        cluster = stack.enter_context(connected(address))
        stack.enter_context(signals_to(stop))  # Ray has set its own meanwhile
        check_resources(planned.job, cluster, planned.source)
        from resnet_cluster.cluster.driver import Driver  # Ray Train: seconds to import

        stop.heed()
        found = how.claim()
        stack.enter_context(_driver_noise(found))
        tell = stack.enter_context(how.display(found, real_out, real_err))
        driver = Driver(
            job=planned.job,
            run_dir=found.run.run_dir,
            dataset_folder=planned.manifest.folder,
            cluster=cluster,
            tell=tell,
            stop=stop,
        )
        ended = driver.drive()
    return Launched(found=found, ended=ended, signal=stop.signal)


def _driver_noise(found: FoundRun) -> contextlib.AbstractContextManager[object]:
    attempt = last_attempt(EventLog(found.run.run_dir)) + 1
    return noise_in(RunFolder(found.run.run_dir).driver_log(attempt))
