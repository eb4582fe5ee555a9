"""Run the trials of a sweep from this process, on an embedded cluster or on one that is running."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from resnet_cluster.cluster.capacity import (
    Cluster,
    cpus_per_worker,
    own_machine,
    takes_gpu,
)
from resnet_cluster.cluster.connection import chosen_address, connected
from resnet_cluster.cluster.noise import NOISE_NAME, noise_in
from resnet_cluster.cluster.preflight import check_memory, check_resources, check_space
from resnet_cluster.cluster.progress import ProgressBoard
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.cluster.submission import PlannedJob, free_name, run_record
from resnet_cluster.cluster.sweep_plan import PlannedTrial
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.host_memory import available_bytes
from resnet_cluster.results import (
    AnyRecord,
    AttemptEnded,
    EventLog,
    ResultStore,
    RunRecord,
    RunSummary,
    SweepSummary,
    last_attempt,
)
from resnet_cluster.spec import Code, CustomNetSpec, find_code
from resnet_cluster.training import Progress

TellTrial = Callable[[int, Progress | AnyRecord | str], None]


@dataclass(frozen=True, kw_only=True)
class SweepLaunch:
    """How the trials are run and watched."""

    address: str | None
    """Ray cluster to join; None takes RAY_ADDRESS, or else starts one in this process."""
    claim: Callable[[], SweepSummary]
    """Finds or creates the sweep, once nothing stands in its way."""
    trials_per_gpu: int
    retries: int
    fail_fast: bool
    display: Callable[[SweepSummary, TextIO, TextIO], contextlib.AbstractContextManager[TellTrial]]
    """Opens a display on the real stdout and stderr."""


@dataclass(frozen=True, kw_only=True)
class ToDo:
    """A trial that is to be run: a new run, or one that goes on."""

    place: int
    """In the sweep, from 0."""
    planned: PlannedJob
    run_dir: Path
    record: RunRecord | None
    """The first event of a new run."""
    code: Code | None = None


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
) -> tuple[ToDo, ...]:
    """The trials that are to be run.

    Args:
        trials: of the sweep.
        wanted: the run that goes on, or None for a new one, by the trial's place.
        store: knows which names are taken.
        runs_root: the folder of runs.
    """
    found = []
    for place, run in wanted.items():
        planned = trials[place].planned
        assert planned is not None
        if run is not None:
            found.append(ToDo(place=place, planned=planned, run_dir=run.run_dir, record=None))
            continue
        record = run_record(planned, free_name(planned, store, is_numbered=True))
        model = planned.job.model
        code = None
        if isinstance(model, CustomNetSpec):
            code = find_code(model.entry, sha256=model.source_sha256)
        found.append(
            ToDo(
                place=place,
                planned=planned,
                run_dir=runs_root / record.run_id,
                record=record,
                code=code,
            )
        )
    return tuple(found)


def launch_sweep(todo: Sequence[ToDo], runs_root: Path, how: SweepLaunch) -> SweepEnded:
    """Drive an attempt at a sweep to its end.

    Raises:
        PreflightError: the machine or the cluster cannot hold a trial.
        ClusterUnreachableError: no cluster answers at the address.
        RunTakenError: another process drives the sweep.
    """
    address = chosen_address(how.address)
    check_space(runs_root, sum(each.planned.plan.storage_bytes for each in todo))
    if address is None:
        for each in todo:
            _check_trial(each, own_machine(), how)
            check_memory(each.planned.job, each.planned.plan, available_bytes())
    stop = StopRequest()
    with contextlib.ExitStack() as stack:
        real_out, real_err = stack.enter_context(noise_in(runs_root / NOISE_NAME))
        stack.enter_context(signals_to(stop, at_most=1))
        cluster = stack.enter_context(connected(address))
        stack.enter_context(signals_to(stop))  # Ray has set its own meanwhile
        for each in todo:
            _check_trial(each, cluster, how)
        stop.heed()
        sweep = how.claim()
        attempt = last_attempt(EventLog(sweep.sweep_dir)) + 1
        stack.enter_context(noise_in(RunFolder(sweep.sweep_dir).driver_log(attempt)))
        tell = stack.enter_context(how.display(sweep, real_out, real_err))
        ended = _drive(sweep, todo, cluster, how, tell, stop)
    return SweepEnded(sweep=sweep, ended=ended, signal=stop.signal)


def _drive(
    sweep: SweepSummary,
    todo: Sequence[ToDo],
    cluster: Cluster,
    how: SweepLaunch,
    tell: TellTrial,
    stop: StopRequest,
) -> AttemptEnded:
    from resnet_cluster.cluster.sweep_driver import SweepDriver  # Ray Tune: seconds to import
    from resnet_cluster.cluster.tuning import Tuning

    def make_tasks(attempt: int, board: ProgressBoard) -> dict[int, TrialTask]:
        return {
            each.place: _task(each, cluster, how, board, sweep.sweep_dir, attempt) for each in todo
        }

    driver = SweepDriver(
        sweep_dir=sweep.sweep_dir,
        make_tasks=make_tasks,
        tuning=Tuning(retries=how.retries, fail_fast=how.fail_fast),
        cluster=cluster,
        tell=tell,
        stop=stop,
    )
    return driver.drive()


def _task(
    todo: ToDo,
    cluster: Cluster,
    how: SweepLaunch,
    board: ProgressBoard,
    sweep_dir: Path,
    attempt: int,
) -> TrialTask:
    job = todo.planned.job
    is_gpu = takes_gpu(job, cluster)
    share = how.trials_per_gpu if is_gpu else 1
    return TrialTask(
        run_dir=todo.run_dir,
        record=todo.record,
        code=todo.code,
        job=job.model_dump(mode="json"),
        dataset_folder=todo.planned.manifest.folder,
        num_cpus=max(1, cpus_per_worker(job, cluster) // share),
        gpus_per_worker=1 / share if is_gpu else 0.0,
        cluster=replace(cluster, has_sweep=True),
        board=board.of(todo.run_dir.name),
        sweep_dir=sweep_dir,
        sweep_attempt=attempt,
    )


def _check_trial(todo: ToDo, cluster: Cluster, how: SweepLaunch) -> None:
    job = todo.planned.job
    check_resources(job, cluster, todo.planned.source)
    if how.trials_per_gpu == 1:
        return
    if job.resources.workers > 1:
        raise UsageError(
            f"--trials-per-gpu {how.trials_per_gpu} shares a GPU among trials of one worker, and "
            f"these have {job.resources.workers}",
            mend="add --workers 1, or leave --trials-per-gpu out",
        )
    if not takes_gpu(job, cluster):
        raise PreflightError(
            f"--trials-per-gpu {how.trials_per_gpu} shares GPUs, and {cluster.place} has none",
            mend="leave it out: trials share this machine's cores by themselves",
        )
