"""What Ray Tune runs for each trial: an attempt at its run, here or by workers of its own.

Of a pack of trials it is an attempt at each, side by side.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from ray import tune

from resnet_cluster import training
from resnet_cluster.cluster.attempt import claim_attempt
from resnet_cluster.cluster.connection import SETTINGS
from resnet_cluster.cluster.event_context import EventContext, explain, place
from resnet_cluster.cluster.groups import give_back
from resnet_cluster.cluster.key_claim import alone, claim_key, give_key
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.cluster.worker_output import output_in
from resnet_cluster.data import load_manifest
from resnet_cluster.errors import RunFailedError, RunTakenError, WaitTimeoutError
from resnet_cluster.nets import offer_code
from resnet_cluster.results import (
    AnyRecord,
    AttemptEnded,
    EpochRecord,
    EventLog,
    Heartbeat,
    RunState,
    follow,
    last_attempt,
)
from resnet_cluster.spec import load_resolved
from resnet_cluster.training import Progress

LOOK_S = 2.0
"""Between looks at whether the sweep is to stop, while another process trains the experiment."""


def run_trial(config: dict[str, Any], tasks: list[TrialTask]) -> None:
    """A trial, or a pack of them, to its end; Tune tries again what raises.

    Of a trial that is alone it gets each epoch's metrics.

    Args:
        config: `trials` are the places of their tasks.
        tasks: of all trials.

    Raises:
        RunFailedError: an attempt failed.
    """
    own = [tasks[place] for place in config["trials"]]
    if SweepStop(own[0]).times:
        tune.report({"state": RunState.PENDING.value})
        return
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    states = [_ended(own[0])] if len(own) == 1 else _side_by_side(own)
    failed = [task.run_dir.name for task, state in zip(own, states, strict=True) if state is None]
    if failed:
        raise RunFailedError(f"the attempt at {', '.join(failed)} failed")
    tune.report({"state": str(states[0])})


def _side_by_side(tasks: list[TrialTask]) -> list[RunState | None]:
    """Trials in threads of this process, to the end of the last; each shares the cores alike."""
    size = len(tasks)
    shares = [
        replace(task, is_packed=True, num_cpus=max(1, task.num_cpus // size)) for task in tasks
    ]
    with ThreadPoolExecutor(size, "trial") as threads:
        return list(threads.map(_ended, shares))


def _ended(task: TrialTask) -> RunState | None:
    """A trial to its end: how it ended, or None where the attempt failed."""
    own = _begun(task)
    state = _result(own) if own.run_dir == task.run_dir else _awaited(own)
    if state is not None:
        return state
    try:
        ended = _attempt_here(own) if own.workers == 1 else _attempt_by_workers(own)
    except RunTakenError:  # another process was quicker
        return _awaited(own)
    return None if ended.state is RunState.FAILED else ended.state


def _result(task: TrialTask) -> RunState | None:
    """The end of a run that needs no more: one of its pack has failed, and all are tried again.

    That is a result, or that somebody has stopped it since the sweep's attempt began.
    """
    log, name = EventLog(task.run_dir), f"attempt-{task.sweep_attempt:03d}-started"
    own_end = f"attempt-{last_attempt(log):03d}-ended"
    if not task.is_packed or own_end not in log.names():
        return None
    ended, began = log.load(own_end), EventLog(task.sweep_dir).load(name)
    assert isinstance(ended, AttemptEnded)
    is_stopped = ended.state is RunState.CANCELLED and ended.at > began.at
    return ended.state if ended.state.is_result or is_stopped else None


@dataclass(frozen=True)
class SweepStop:
    """What a trial's sweep asks of it: to write a checkpoint and end."""

    task: TrialTask

    @property
    def times(self) -> int:
        """Whether the sweep's flag is up; nobody asks a trial to end at once."""
        return int(RunFolder(self.task.sweep_dir).is_stop_requested(self.task.sweep_attempt))


def _begun(task: TrialTask) -> TrialTask:
    """The task, its run begun; that of another run which has the experiment, where one has."""
    if task.record is None:
        return task
    root, record = task.run_dir.parent, task.record
    with alone(root):
        if task.is_rerun:
            give_key(root, record.key, record.run_id)
        elif (owner := claim_key(root, record.key, record.run_id)) != record.run_id:
            return replace(task, run_dir=root / owner, record=None)
        EventLog(task.run_dir).record(record)
    return task


def _awaited(task: TrialTask) -> RunState | None:
    """How a run ends that others have begun; None where it is left to go on with."""
    if last_attempt(EventLog(task.run_dir)) == 0:
        return None  # who has begun it may be slower, and follows this attempt then
    while not SweepStop(task).times:
        with contextlib.suppress(WaitTimeoutError):
            ended = follow(task.run_dir, deadline=time.monotonic() + LOOK_S)
            return ended.state if ended.state.is_result else None
    return RunState.PENDING


def _attempt_here(task: TrialTask) -> AttemptEnded:
    """An attempt in this process, which is its driver and its only rank."""
    folder, events = RunFolder(task.run_dir), EventLog(task.run_dir)
    number = claim_attempt(task.run_dir, task.cluster.address)
    heartbeat = Heartbeat(task.run_dir, number)
    try:
        events.reserve_space()
        with output_in(folder.worker_log(number, 0)):
            _train(task, folder, number)
    except Exception as error:  # its log cannot be written, or there is no space
        why = explain(error, folder)
        events.record(AttemptEnded(attempt=number, state=RunState.FAILED, message=why))
    finally:
        events.release_space()
        heartbeat.close()
    ended = events.load(f"attempt-{number:03d}-ended")
    assert isinstance(ended, AttemptEnded)
    return ended


def _train(task: TrialTask, folder: RunFolder, number: int) -> None:
    job = load_resolved(task.job)
    context = TrialContext(task, folder, number, job.resources.checkpoint_every_steps)
    try:
        offer_code(folder.code)
        torch.set_num_threads(task.num_cpus)
        outcome = training.run(job, load_manifest(str(task.dataset_folder)), context)
    except Exception as error:  # whatever it was, the attempt gets an end
        logging.exception("%s failed", task.run_dir.name)
        context.end(RunState.FAILED, explain(error, folder))
    else:
        context.end(RunState(outcome.state), outcome.message or place(outcome))


class TrialContext(EventContext):
    """The world of a trial that is trained in its own process."""

    def __init__(
        self, task: TrialTask, folder: RunFolder, attempt: int, checkpoint_every_steps: int
    ) -> None:
        super().__init__(
            folder,
            attempt,
            task.board,
            device=torch.device("cuda", 0) if task.gpus_per_worker else torch.device("cpu"),
            num_cpus=task.num_cpus,
            checkpoint_every_steps=checkpoint_every_steps,
        )
        self._task = task

    def epoch_ended(self, metrics: dict[str, float | int]) -> None:
        """Tell Tune of an epoch, where it can tell which trial that is of."""
        if not self._task.is_packed:
            _report_epoch(metrics, self._task.num_epochs)

    def stop_requested(self) -> bool:
        """Whether the run is to stop, or all of its sweep."""
        return bool(SweepStop(self._task).times) or super().stop_requested()


def _report_epoch(metrics: dict[str, float | int], num_epochs: int) -> None:
    """Give Tune an epoch's metrics, where a scheduler may end this process.

    Not of the last epoch: nothing would be saved, and the weights are still to be measured.
    """
    if metrics["epoch"] < num_epochs:
        tune.report(metrics)


def _metrics(record: EpochRecord) -> dict[str, float | int]:
    found = {"epoch": record.epoch, "train_top1_err": record.train.top1_err}
    holdout = {"holdout_top1_err": record.holdout.top1_err} if record.holdout else {}
    return found | holdout


def _attempt_by_workers(task: TrialTask) -> AttemptEnded:
    """An attempt by a group of Ray Train's workers, which this process drives."""
    from resnet_cluster.cluster.driver import Driver

    def tell(news: Progress | AnyRecord | str) -> None:
        if isinstance(news, EpochRecord):
            _report_epoch(_metrics(news), task.num_epochs)

    driver = Driver(
        job=load_resolved(task.job),
        run_dir=task.run_dir,
        dataset_folder=task.dataset_folder,
        cluster=task.cluster,
        tell=tell,
        stop=SweepStop(task),
        board=task.board,
    )
    try:
        return driver.drive()
    finally:
        give_back(task.board)
