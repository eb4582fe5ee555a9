"""Drives an attempt at a sweep: Ray Tune runs its trials, the trials' events say what happened."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cluster.cluster.attempt import claim_attempt, fit_in_thread
from resnet_cluster.cluster.capacity import Cluster, concurrency
from resnet_cluster.cluster.groups import give_back
from resnet_cluster.cluster.metering import Meter
from resnet_cluster.cluster.packs import packs_of
from resnet_cluster.cluster.progress import start_board
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.rungs import rungs_of
from resnet_cluster.cluster.signals import StopRequest
from resnet_cluster.cluster.sweep_order import SweepOptions, TellTrial, TrialOrder
from resnet_cluster.cluster.trial import run_trial
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.cluster.tuning import Trainable, TrialWatch, tuner
from resnet_cluster.errors import IntegrityError
from resnet_cluster.results import (
    AttemptEnded,
    EventLog,
    Heartbeat,
    RunState,
    TrialStoppedRecord,
    last_attempt,
    note_lost_owner,
)
from resnet_cluster.training import Progress

if TYPE_CHECKING:
    from resnet_cluster.cluster.admission import Admission

POLL_S = 0.2
STOP_DEADLINE_S = 150.0
"""From a request to stop to the trials' checkpoints; after it they are ended."""


@dataclass(kw_only=True)
class SweepDriver:
    """Drives an attempt at a sweep in this process, which is connected to its cluster.

    Args:
        sweep_dir: the sweep's folder.
        orders: the trials that are to be run.
        options: how they are run.
        cluster: where they run.
        tell: called with news of trials.
        stop: what signals have asked.
        trainable: what each trial runs; another in benchmarks.
    """

    sweep_dir: Path
    orders: Sequence[TrialOrder]
    options: SweepOptions
    cluster: Cluster
    tell: TellTrial
    stop: StopRequest
    trainable: Trainable = run_trial
    number: int = 0
    _seen: dict[int, set[str]] = field(default_factory=dict)
    _progress: dict[int, Progress] = field(default_factory=dict)
    _num_failures: Counter[int] = field(default_factory=Counter)
    _num_stopped: int = 0
    _over_budget: str = ""
    _failure: BaseException | None = None
    _meter: Meter | None = None
    _admission: Admission | None = None

    def drive(self) -> AttemptEnded:
        """Run the trials to their ends and return the sweep's last event.

        Raises:
            RunTakenError: another process drives the sweep.
        """
        self.number = claim_attempt(self.sweep_dir, self.cluster.address)
        self._folder = RunFolder(self.sweep_dir)
        heartbeat = Heartbeat(self.sweep_dir, self.number)
        events = EventLog(self.sweep_dir)
        try:
            events.reserve_space()
            self._meter = Meter(
                self.sweep_dir, self.number, self.orders, self.options, self.cluster
            )
            if self.options.until_significant:
                from resnet_cluster.cluster.admission import build_admission  # and the report

                self._admission = build_admission(self.sweep_dir, self.orders)
                self._admit(())
            self._board = start_board(self.sweep_dir.name)
            for index, order in enumerate(self.orders):  # what happened before is no news
                self._seen[index] = set(EventLog(order.run_dir).names())
            self._watch(self._meter)
        except Exception as error:  # whatever it was, the sweep gets an end
            self._failure = error
        finally:
            ended = self._conclude()
            events.release_space()
            heartbeat.close()
        return ended

    def _watch(self, meter: Meter) -> None:
        """Pass on what happens until Tune is done, or a deadline or a second signal."""
        watch = TrialWatch()
        fitting = self._fitting(watch)
        deadline: float | None = None
        while fitting.is_alive():
            fitting.join(POLL_S)
            self._pass_on(watch)
            self._admit(watch.begun_and_ended())
            reached = meter.look(watch.held_s())
            self._over_budget = self._over_budget or reached
            if self._stop_is_wanted(watch):
                deadline = deadline or time.monotonic() + STOP_DEADLINE_S
                if not watch.running or time.monotonic() > deadline:
                    watch.may_end = True
                if self.stop.times > 1 or time.monotonic() > deadline + POLL_S:
                    return
        self._pass_on(watch)
        meter.look(watch.held_s())

    def _admit(self, ended: Collection[int]) -> None:
        """Let in what is needed, where not all trials may be."""
        for line in self._admission.look(ended) if self._admission else ():
            self.tell(-1, line)

    def _fitting(self, watch: TrialWatch) -> threading.Thread:
        """Tune at work, in a thread: in the main one it would take over Ctrl-C."""
        self._tasks = [self._task(order) for order in self.orders]
        made = tuner(
            self._tasks,
            self.options,
            rungs_of(
                self.options.scheduler,
                [order.job for order in self.orders],
                max(order.num_epochs for order in self.orders),
            ),
            watch,
            max_concurrent=concurrency(
                (order.job for order in self.orders), self.cluster, self.options.trials_per_gpu
            ),
            trainable=self.trainable,
            storage=self._folder.ray,
            name=f"attempt-{self.number:03d}",
            packs=packs_of((order.job for order in self.orders), self.options.pack),
            admission=self._admission,
        )

        return fit_in_thread(made.fit, "ray-tune", self._note_failure)

    def _note_failure(self, error: BaseException) -> None:
        self._failure = error

    def _task(self, order: TrialOrder) -> TrialTask:
        return order.task(
            self.cluster,
            self._board,
            trials_per_gpu=self.options.trials_per_gpu,
            sweep_dir=self.sweep_dir,
            attempt=self.number,
        )

    def _stop_is_wanted(self, watch: TrialWatch) -> bool:
        is_asked = self._folder.is_stop_requested(self.number)
        has_failed = self.options.fail_fast and watch.has_failed
        why = self._over_budget or "a trial failed" * bool(has_failed) or "stopping"
        wants = self.stop.times or has_failed or self._over_budget
        if wants and not is_asked:
            self._folder.request_stop(self.number)
            again = "once more" if self.stop.times else "Ctrl-C"
            self.tell(-1, f"{why}: running trials write a checkpoint; {again} ends them at once")
        return bool(wants or is_asked)

    def _pass_on(self, watch: TrialWatch) -> None:
        """News of the trials that have run since the last look."""
        for index in watch.touched():
            order = self.orders[index]
            self._tell_events(index)
            # One of a pack is known to have failed before the others have ended.
            watch.has_failed |= self._num_failures[index] > self.options.retries
            if index in watch.running:
                continue
            if order.job.resources.workers > 1:
                give_back(self._tasks[index].board)
            if (epoch := watch.stopped_early.pop(index, None)) is not None:
                self._record_stopped(index, epoch)
        latest = self._board.poll_all()
        for index in list(watch.running):
            order = self.orders[index]
            progress = latest.get(order.run_dir.name)
            if progress is not None and progress != self._progress.get(index):
                self._progress[index] = progress
                self.tell(order.place, progress)

    def _tell_events(self, index: int) -> None:
        order, seen = self.orders[index], self._seen[index]

        def on_damaged(name: str, error: IntegrityError) -> None:
            seen.add(name)
            self.tell(order.place, f"warning: {error.message}")

        for name, record in EventLog(order.actual_run_dir).read(known=seen, on_damaged=on_damaged):
            seen.add(name)
            if isinstance(record, AttemptEnded) and record.state is RunState.FAILED:
                self._num_failures[index] += 1
            self.tell(order.place, record)

    def _record_stopped(self, index: int, epoch: int) -> None:
        """Keep that the scheduler ended a trial: it is done as far as the scheduler goes."""
        run_dir, rule = self.orders[index].actual_run_dir, self.options.scheduler
        log = EventLog(run_dir)
        message = f"stopped by {rule} after epoch {epoch}; its last checkpoint is kept"
        attempt = last_attempt(log)
        log.record(AttemptEnded(attempt=attempt, state=RunState.CANCELLED, message=message))
        self._tell_events(index)
        record = TrialStoppedRecord(run_id=run_dir.name, epoch=epoch, rule=rule)
        EventLog(self.sweep_dir).record(record)
        self._num_stopped += 1

    def _conclude(self) -> AttemptEnded:
        """Record the end: of trials that were cut off, then of the sweep."""
        states = [self._end_of(order) for order in self.orders]
        ended = self._verdict(states)
        if self._meter is not None:
            is_whole = ended.state is RunState.SUCCEEDED and not self._num_left_out
            with contextlib.suppress(OSError):  # its last note is kept, and becomes the record
                self._meter.close(is_whole=is_whole)
        EventLog(self.sweep_dir).record(ended)
        return ended

    def _end_of(self, order: TrialOrder) -> RunState | None:
        """How a trial's run has ended; None where it never began, or another process trains it."""
        run_dir = order.actual_run_dir
        log = EventLog(run_dir)
        if (attempt := last_attempt(log)) == 0:
            return None
        name = f"attempt-{attempt:03d}-ended"
        if name not in log.names() and not note_lost_owner(run_dir):
            if run_dir != order.run_dir:
                return None
            message = "ended with its sweep; its last checkpoint is kept"
            log.record(AttemptEnded(attempt=attempt, state=RunState.CANCELLED, message=message))
        ended = log.load(name)
        assert isinstance(ended, AttemptEnded)
        return ended.state

    @property
    def _num_left_out(self) -> int:
        return self._admission.num_left_out if self._admission else 0

    def _verdict(self, states: list[RunState | None]) -> AttemptEnded:
        failed = sum(state in (RunState.FAILED, RunState.LOST) for state in states)
        done = sum(state is not None and state.is_result for state in states)
        left_out = self._num_left_out
        parts = [f"{done} of {len(states)} trials done"]
        parts += [f"{left_out} not needed"] if left_out else []
        parts += [f"{self._num_stopped} stopped early"] if self._num_stopped else []
        parts += [f"{failed} failed"] if failed else []
        is_done = done + self._num_stopped + left_out == len(states)
        state, why = RunState.SUCCEEDED, self._failure
        if failed:
            state = RunState.FAILED
        elif self._folder.is_stop_requested(self.number) and not is_done:
            state = RunState.CANCELLED
            parts += [self._over_budget] if self._over_budget else []
        elif why is not None or not is_done:
            state = RunState.FAILED
            parts += [f"{type(why).__name__}: {why}"] if why else []
        return AttemptEnded(
            attempt=self.number,
            state=state,
            message=", ".join(parts),
            is_over_budget=bool(self._over_budget) and state is RunState.CANCELLED,
        )
