"""Run the trials of a sweep from this process, on an embedded cluster or on one that is running."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from resnet_cluster.cluster.capacity import Cluster, concurrency, own_machine, takes_gpu
from resnet_cluster.cluster.connection import chosen_address, connected, needed_address
from resnet_cluster.cluster.noise import NOISE_NAME, noise_in
from resnet_cluster.cluster.preflight import check_memory, check_resources, check_space
from resnet_cluster.cluster.pricing import Pricing
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.cluster.submission import PlannedJob, begin, free_name, run_record
from resnet_cluster.cluster.sweep_order import (
    SweepOptions,
    TellTrial,
    TrialOrder,
    write_order,
)
from resnet_cluster.cluster.sweep_plan import PlannedTrial
from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.host_memory import available_bytes
from resnet_cluster.results import (
    AttemptEnded,
    EventLog,
    ResultStore,
    RunSummary,
    SweepEstimateRecord,
    SweepSummary,
    last_attempt,
)
from resnet_cluster.spec import CustomNetSpec


@dataclass(frozen=True, kw_only=True)
class SweepLaunch:
    """How the trials are run and watched."""

    address: str | None
    """Ray cluster to join; None takes RAY_ADDRESS, or else starts one in this process."""
    claim: Callable[[], SweepSummary]
    """Finds or creates the sweep, once nothing stands in its way."""
    options: SweepOptions
    pricing: Pricing
    display: Callable[[SweepSummary, TextIO, TextIO], contextlib.AbstractContextManager[TellTrial]]
    """Opens a display on the real stdout and stderr."""


@dataclass(frozen=True, kw_only=True)
class ToDo:
    """A trial that is to be run, and its plan, which the machine or cluster must hold."""

    order: TrialOrder
    planned: PlannedJob


@dataclass(frozen=True, kw_only=True)
class SweepEnded:
    """How an attempt at a sweep has ended."""

    sweep: SweepSummary
    ended: AttemptEnded
    signal: int | None
    """The signal that asked for the end, if one did."""


def to_do(
    trials: Sequence[PlannedTrial],
    wanted: Mapping[int, RunSummary | None],
    store: ResultStore,
    runs_root: Path,
    *,
    is_rerun: bool,
) -> tuple[ToDo, ...]:
    """The trials that are to be run.

    Args:
        trials: of the sweep.
        wanted: the run that goes on, or None for a new one, by the trial's place.
        store: knows which names are taken.
        runs_root: the folder of runs.
        is_rerun: whether trials are run although their experiments have runs.
    """
    found = []
    for place, run in wanted.items():
        planned = trials[place].planned
        assert planned is not None
        if run is None:
            record = run_record(planned, free_name(planned, store, is_numbered=True))
            run_dir = runs_root / record.run_id
        else:
            record, run_dir = None, run.run_dir
        order = TrialOrder(
            place=place,
            job=planned.job,
            dataset_folder=planned.manifest.folder,
            num_epochs=planned.plan.num_epochs,
            run_dir=run_dir,
            record=record,
            is_rerun=is_rerun,
        )
        found.append(ToDo(order=order, planned=planned))
    return tuple(found)


def launch_sweep(todo: Sequence[ToDo], runs_root: Path, how: SweepLaunch) -> SweepEnded:
    """Drive an attempt at a sweep to its end.

    Raises:
        PreflightError: the machine or the cluster cannot hold a trial.
        ClusterUnreachableError: no cluster answers at the address.
        RunTakenError: another process drives the sweep.
    """
    address = chosen_address(how.address)
    _check_space(todo, runs_root)
    if address is None:
        _check_machine(todo, how)
    stop = StopRequest()
    with contextlib.ExitStack() as stack:
        real_out, real_err = stack.enter_context(noise_in(runs_root / NOISE_NAME))
        stack.enter_context(signals_to(stop, at_most=1))
        cluster = stack.enter_context(connected(address))
        stack.enter_context(signals_to(stop))  # Ray has set its own meanwhile
        _check_cluster(todo, cluster, how)
        stop.heed()
        estimate = how.pricing.estimated(cluster, stop.heed, real_err)
        how.pricing.check_hours(estimate)
        sweep = how.claim()
        orders = _begun(todo)
        attempt = _next_attempt(sweep, estimate)
        stack.enter_context(noise_in(RunFolder(sweep.sweep_dir).driver_log(attempt)))
        tell = stack.enter_context(how.display(sweep, real_out, real_err))
        from resnet_cluster.cluster.sweep_driver import SweepDriver  # Ray Tune: seconds to import

        driver = SweepDriver(
            sweep_dir=sweep.sweep_dir,
            orders=orders,
            options=how.options,
            cluster=cluster,
            tell=tell,
            stop=stop,
        )
        ended = driver.drive()
    return SweepEnded(sweep=sweep, ended=ended, signal=stop.signal)


def detach_sweep(todo: Sequence[ToDo], runs_root: Path, how: SweepLaunch) -> SweepSummary:
    """Give a sweep's driver to the cluster as a job, and come back when it has begun.

    Raises:
        UsageError: there is no running cluster to leave it to.
        PreflightError: the cluster cannot hold a trial, or its head cannot start the driver.
        ClusterUnreachableError: no cluster answers at the address, or it takes no jobs.
    """
    from resnet_cluster.cluster.cluster_job import start_driver

    address = needed_address(how.address)
    _check_space(todo, runs_root)
    with noise_in(runs_root / NOISE_NAME) as (_, real_err), connected(address) as cluster:
        _check_cluster(todo, cluster, how)
        estimate = how.pricing.estimated(cluster, lambda: None, real_err)
        how.pricing.check_hours(estimate)
        sweep = how.claim()
        _next_attempt(sweep, estimate)
        write_order(sweep.sweep_dir, _begun(todo), how.options)
        start_driver("resnet_cluster.cluster.detached_sweep", sweep.sweep_dir, cluster)
    return sweep


def _next_attempt(sweep: SweepSummary, estimate: SweepEstimateRecord | None) -> int:
    """Number of the next attempt at a sweep; what is expected of it is recorded."""
    log = EventLog(sweep.sweep_dir)
    attempt = last_attempt(log) + 1
    if estimate is not None:
        log.record(estimate.model_copy(update={"attempt": attempt}))
    return attempt


def _begun(todo: Sequence[ToDo]) -> tuple[TrialOrder, ...]:
    """The orders; runs of the user's own networks are begun here, where their code is."""
    orders = []
    for each in todo:
        order = each.order
        if order.record is not None and isinstance(order.job.model, CustomNetSpec):
            begin(order.record, order.run_dir)
            order = replace(order, record=None)
        orders.append(order)
    return tuple(orders)


def _check_machine(todo: Sequence[ToDo], how: SweepLaunch) -> None:
    """What this machine cannot hold is refused before Ray starts."""
    machine, available = own_machine(), available_bytes()
    _check_cluster(todo, machine, how)
    jobs = [each.order.job for each in todo]
    at_once = concurrency(jobs, machine, how.options.trials_per_gpu) * how.options.pack
    at_once = min(at_once, len(jobs))
    for each in todo:
        check_memory(each.planned.job, each.planned.plan, available, num_runs=at_once)


def _check_cluster(todo: Sequence[ToDo], cluster: Cluster, how: SweepLaunch) -> None:
    for each in todo:
        check_trial(each.planned, cluster, how.options)
    how.pricing.check(cluster)


def _check_space(todo: Sequence[ToDo], runs_root: Path) -> None:
    check_space(runs_root, sum(each.planned.plan.storage_bytes for each in todo))


def check_trial(planned: PlannedJob, cluster: Cluster, options: SweepOptions) -> None:
    """Refuse a trial that the cluster can never hold.

    Raises:
        PreflightError: too few cores or GPUs.
        UsageError: trials of several workers cannot share a GPU.
    """
    job = planned.job
    check_resources(job, cluster, planned.source)
    if options.trials_per_gpu == 1:
        return
    if job.resources.workers > 1:
        raise UsageError(
            f"--trials-per-gpu {options.trials_per_gpu} shares a GPU among trials of one worker, "
            f"and these have {job.resources.workers}",
            mend="add --workers 1, or leave --trials-per-gpu out",
        )
    if not takes_gpu(job, cluster):
        raise PreflightError(
            f"--trials-per-gpu {options.trials_per_gpu} shares GPUs, and {cluster.place} has none",
            mend="leave it out: trials share this machine's cores by themselves",
        )
