"""What Ray Tune runs for each trial: an attempt at its run, here or by workers of its own."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from ray import tune

from resnet_cluster import training
from resnet_cluster.cluster.attempt import claim_attempt
from resnet_cluster.cluster.connection import SETTINGS
from resnet_cluster.cluster.event_context import EventContext, explain, place
from resnet_cluster.cluster.groups import give_back
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.cluster.worker_output import output_in
from resnet_cluster.data import load_manifest
from resnet_cluster.errors import RunFailedError
from resnet_cluster.nets import offer_code
from resnet_cluster.results import (
    AnyRecord,
    AttemptEnded,
    EpochRecord,
    EventLog,
    Heartbeat,
    RunState,
)
from resnet_cluster.spec import load_resolved
from resnet_cluster.training import Progress


def run_trial(config: dict[str, Any], tasks: list[TrialTask]) -> None:
    """A trial to its end; Tune tries again what raises, and gets an epoch's metrics.

    Args:
        config: `trial` is the place of the trial's task.
        tasks: of all trials.

    Raises:
        RunFailedError: the attempt failed.
    """
    task = tasks[config["trial"]]
    if RunFolder(task.sweep_dir).is_stop_requested(task.sweep_attempt):
        tune.report({"state": RunState.PENDING.value})
        return
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if task.record is not None:
        EventLog(task.run_dir).record(task.record)
    ended = _attempt_here(task) if task.workers == 1 else _attempt_by_workers(task)
    if ended.state is RunState.FAILED:
        raise RunFailedError(f"{task.run_dir.name}: {ended.message}")
    tune.report({"state": ended.state.value})


def _attempt_here(task: TrialTask) -> AttemptEnded:
    """An attempt in this process, which is its driver and its only rank."""
    folder, events = RunFolder(task.run_dir), EventLog(task.run_dir)
    number = claim_attempt(task.run_dir, task.cluster.address)
    heartbeat = Heartbeat(task.run_dir, number)
    try:
        events.reserve_space()
        with output_in(folder.worker_log(number, 0)):
            _train(task, folder, number)
    finally:
        events.release_space()
        heartbeat.close()
    ended = events.load(f"attempt-{number:03d}-ended")
    assert isinstance(ended, AttemptEnded)
    return ended


def _train(task: TrialTask, folder: RunFolder, number: int) -> None:
    job = load_resolved(task.job)
    context = TrialContext(
        task.num_epochs,
        folder,
        number,
        task.board,
        device=torch.device("cuda", 0) if task.gpus_per_worker else torch.device("cpu"),
        num_cpus=task.num_cpus,
        checkpoint_every_steps=job.resources.checkpoint_every_steps,
    )
    try:
        offer_code(folder.code)
        torch.set_num_threads(task.num_cpus)
        outcome = training.run(job, load_manifest(str(task.dataset_folder)), context)
    except Exception as error:  # whatever it was, the attempt gets an end
        logging.exception("the trial failed")
        context.end(RunState.FAILED, explain(error, folder))
    else:
        context.end(RunState(outcome.state), outcome.message or place(outcome))


class TrialContext(EventContext):
    """The world of a trial that is trained in its own process.

    Args:
        num_epochs: of the training.
        base: as of `EventContext`.
    """

    def __init__(self, num_epochs: int, *base: Any, **more: Any) -> None:
        super().__init__(*base, **more)
        self._num_epochs = num_epochs

    def epoch_ended(self, metrics: dict[str, float | int]) -> None:
        """Tell Tune of an epoch."""
        _report_epoch(metrics, self._num_epochs)


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
        stop=StopRequest(),
        board=task.board,
    )
    try:
        return driver.drive()
    finally:
        give_back(task.board)
