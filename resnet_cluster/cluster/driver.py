"""Drives one attempt at a run: from its first event to its last, whatever happens between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ray.train import WorkerGroupError

from resnet_cluster.cluster.attempt import claim_attempt, fit_in_thread
from resnet_cluster.cluster.capacity import Cluster, cpus_per_worker
from resnet_cluster.cluster.event_context import explain
from resnet_cluster.cluster.progress import ProgressBoard, start_board
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopSource
from resnet_cluster.cluster.task import WorkerTask
from resnet_cluster.cluster.trainer import build_trainer, start_coordinator
from resnet_cluster.results import (
    AnyRecord,
    AttemptEnded,
    EventLog,
    Heartbeat,
    RunState,
)
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import Progress

Tell = Callable[[Progress | AnyRecord | str], None]

POLL_S = 0.2
START_DEADLINE_S = 300.0
"""From the start of an attempt to its first batch: processes, imports, the data."""
STOP_DEADLINE_S = 120.0
"""From a request to stop to the checkpoint and the end; after it the workers are ended."""


@dataclass(kw_only=True)
class Driver:
    """Drives an attempt in this process.

    Args:
        job: what is trained.
        run_dir: the run's folder.
        dataset_folder: the data set's folder, the same path on every node.
        cluster: where it runs; this process is connected to it.
        tell: called with each progress, each new event, and a sentence now and then.
        stop: what signals, or the run's sweep, have asked.
        board: where progress is posted; None starts one.
    """

    job: JobSpec
    run_dir: Path
    dataset_folder: Path
    cluster: Cluster
    tell: Tell
    stop: StopSource
    board: ProgressBoard | None = None
    number: int = 0
    _seen: set[str] = field(default_factory=set)
    _failure: BaseException | None = None

    def drive(self) -> AttemptEnded:
        """Run the attempt to its end and return its last event.

        Raises:
            RunTakenError: another process drives the run.
        """
        self._events = EventLog(self.run_dir)
        self._folder = RunFolder(self.run_dir)
        self._seen = set(self._events.names())
        self.number = claim_attempt(self.run_dir, self.cluster.address)
        heartbeat = Heartbeat(self.run_dir, self.number)
        try:
            self._events.reserve_space()
            self._watch(self._fitting())
        except Exception as error:  # whatever it was, the run gets an end
            self._failure = error
        finally:
            ended = self._conclude()
            self._events.release_space()
            heartbeat.close()
        if not self._has("ended"):
            self.tell(ended)
        return ended

    def _fitting(self) -> threading.Thread:
        """Ray Train at work, in a thread: in the main one it would take over Ctrl-C."""
        start_coordinator()
        self._board = self.board or start_board(self.run_dir.name)
        task = WorkerTask(
            run_dir=self.run_dir,
            attempt=self.number,
            job=self.job.model_dump(mode="json"),
            dataset_folder=self.dataset_folder,
            num_cpus=cpus_per_worker(self.job, self.cluster),
            board=self._board,
        )
        trainer = build_trainer(self.job, task, self.cluster)

        return fit_in_thread(trainer.fit, "ray-train", self._note_failure)

    def _note_failure(self, error: BaseException) -> None:
        self._failure = error

    def _watch(self, fitting: threading.Thread) -> None:
        """Pass on what happens until the workers are gone, or a deadline or a second signal."""
        start_deadline = time.monotonic() + START_DEADLINE_S
        stop_deadline: float | None = None
        while fitting.is_alive():
            fitting.join(POLL_S)
            self._pass_on()
            if self._has("training"):
                start_deadline = float("inf")
            if stop_deadline is None and self._stop_is_wanted():
                stop_deadline = time.monotonic() + STOP_DEADLINE_S
            if time.monotonic() > start_deadline:
                raise TimeoutError(f"no worker began to train within {START_DEADLINE_S:.0f} s")
            if self.stop.times > 1 or (stop_deadline and time.monotonic() > stop_deadline):
                return
            if self._has("ended") and not self.cluster.needs_cleaner:
                return  # the cluster's own end is quicker than Ray Train's farewell
        self._pass_on()

    def _stop_is_wanted(self) -> bool:
        if self.stop.times and not self._folder.is_stop_requested(self.number):
            self._folder.request_stop(self.number)
            self.tell("stopping: the workers write a checkpoint; once more ends them at once")
        return self._folder.is_stop_requested(self.number)

    def _pass_on(self) -> None:
        for name, record in self._events.read(known=self._seen):
            self._seen.add(name)
            self.tell(record)
        if (progress := self._board.poll()) is not None:
            self.tell(progress)

    def _has(self, what: str) -> bool:
        return f"attempt-{self.number:03d}-{what}" in self._seen

    def _conclude(self) -> AttemptEnded:
        """The last event of the attempt: the workers' where they wrote one, else this process's."""
        name = f"attempt-{self.number:03d}-ended"
        if name not in self._events.names():
            self._events.record(self._own_verdict())
        ended = self._events.load(name)
        assert isinstance(ended, AttemptEnded)
        return ended

    def _own_verdict(self) -> AttemptEnded:
        if self._folder.is_stop_requested(self.number) or self.stop.times:
            message = "ended before it could write a checkpoint; the last one is kept"
            return AttemptEnded(attempt=self.number, state=RunState.CANCELLED, message=message)
        message = cause(self._failure, self._folder)
        return AttemptEnded(attempt=self.number, state=RunState.FAILED, message=message)


def cause(failure: BaseException | None, folder: RunFolder) -> str:
    """Why the workers are gone, in one line."""
    if isinstance(failure, WorkerGroupError) and failure.worker_failures:
        rank, worker_failure = min(failure.worker_failures.items())
        first_line = next(iter(str(worker_failure).strip().splitlines()), "")
        return f"worker {rank} failed: {type(worker_failure).__name__}: {first_line}"
    if isinstance(failure, Exception):
        return explain(failure, folder)
    return "the workers ended without saying how"
