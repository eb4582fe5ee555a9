"""Drives an attempt at a sweep: Ray Tune runs its trials, the trials' events say what happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet_cluster.cluster.attempt import claim_attempt
from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.groups import give_back
from resnet_cluster.cluster.progress import start_board
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.cluster.tuning import TrialWatch, Tuning, tuner
from resnet_cluster.results import (
    AnyRecord,
    AttemptEnded,
    EventLog,
    Heartbeat,
    RunState,
    last_attempt,
    note_lost_owner,
)
from resnet_cluster.training import Progress

TellTrial = Callable[[int, Progress | AnyRecord | str], None]
"""Called with the place of a trial in the sweep, and news of it; -1 is the sweep itself."""

POLL_S = 0.2
STOP_DEADLINE_S = 150.0
"""From a request to stop to the trials' checkpoints; after it they are ended."""


@dataclass(kw_only=True)
class SweepDriver:
    """Drives an attempt at a sweep in this process, which is connected to its cluster.

    Args:
        sweep_dir: the sweep's folder.
        make_tasks: the tasks of the trials that are to be run, by their places in the sweep; called
            with the number of the attempt and the board.
        tuning: how Tune is to run them.
        cluster: where they run.
        tell: called with news of trials.
        stop: what signals have asked.
    """

    sweep_dir: Path
    make_tasks: Callable[[int, Any], Mapping[int, TrialTask]]
    tuning: Tuning
    cluster: Cluster
    tell: TellTrial
    stop: StopRequest
    number: int = 0
    _seen: dict[int, set[str]] = field(default_factory=dict)
    _progress: dict[int, Progress] = field(default_factory=dict)
    _failure: BaseException | None = None

    def drive(self) -> AttemptEnded:
        """Run the trials to their ends and return the sweep's last event.

        Raises:
            RunTakenError: another process drives the sweep.
        """
        self.number = claim_attempt(self.sweep_dir, self.cluster.address)
        self._folder = RunFolder(self.sweep_dir)
        heartbeat = Heartbeat(self.sweep_dir, self.number)
        try:
            self._board = start_board(self.sweep_dir.name)
            self._tasks = self.make_tasks(self.number, self._board)
            self._places = list(self._tasks)
            for place, task in self._tasks.items():  # what happened before is no news
                self._seen[place] = set(EventLog(task.run_dir).names())
            self._watch()
        except Exception as error:  # whatever it was, the sweep gets an end
            self._failure = error
        finally:
            ended = self._conclude()
            heartbeat.close()
        return ended

    def _watch(self) -> None:
        """Pass on what happens until Tune is done, or a deadline or a second signal."""
        watch = TrialWatch()
        fitting = self._fitting(watch)
        deadline: float | None = None
        while fitting.is_alive():
            fitting.join(POLL_S)
            self._pass_on(watch)
            if self._stop_is_wanted(watch):
                deadline = deadline or time.monotonic() + STOP_DEADLINE_S
                self._stop_running(watch)
                if not watch.running or time.monotonic() > deadline:
                    watch.may_end = True
                if self.stop.times > 1 or time.monotonic() > deadline + POLL_S:
                    return
        self._pass_on(watch)

    def _fitting(self, watch: TrialWatch) -> threading.Thread:
        """Tune at work, in a thread: in the main one it would take over Ctrl-C."""
        name = f"attempt-{self.number:03d}"
        tasks = list(self._tasks.values())
        made = tuner(tasks, self.tuning, watch, self.cluster, storage=self._folder.ray, name=name)

        def fit() -> None:
            try:
                made.fit()
            except BaseException as error:
                self._failure = error

        thread = threading.Thread(target=fit, name="ray-tune", daemon=True)
        thread.start()
        return thread

    def _stop_is_wanted(self, watch: TrialWatch) -> bool:
        is_asked = self._folder.is_stop_requested(self.number)
        wants = self.stop.times or (self.tuning.fail_fast and watch.failed)
        if wants and not is_asked:
            self._folder.request_stop(self.number)
            why = "a trial failed" if watch.failed and not self.stop.times else "stopping"
            self.tell(-1, f"{why}: running trials write a checkpoint; once more ends them at once")
        return bool(wants or is_asked)

    def _stop_running(self, watch: TrialWatch) -> None:
        for index in list(watch.running):
            folder = self._tasks[self._places[index]].run_dir
            if (attempt := last_attempt(EventLog(folder))) > 0:
                flag = RunFolder(folder)
                if not flag.is_stop_requested(attempt):
                    flag.request_stop(attempt)

    def _pass_on(self, watch: TrialWatch) -> None:
        """News of the trials that have run since the last look."""
        for index in watch.touched():
            place = self._places[index]
            log = EventLog(self._tasks[place].run_dir)
            for name, record in log.read(known=self._seen[place], on_damaged=self._on_damaged):
                self._seen[place].add(name)
                self.tell(place, record)
            if index not in watch.running and self._tasks[place].workers > 1:
                give_back(self._tasks[place].board)
        latest = self._board.poll_all()
        for index in list(watch.running):
            place = self._places[index]
            progress = latest.get(self._tasks[place].run_dir.name)
            if progress is not None and progress != self._progress.get(place):
                self._progress[place] = progress
                self.tell(place, progress)

    def _on_damaged(self, name: str, error: Exception) -> None:
        self.tell(-1, f"warning: {error}")

    def _conclude(self) -> AttemptEnded:
        """Record the end: of trials that were cut off, then of the sweep."""
        states = [self._end_of(task) for task in getattr(self, "_tasks", {}).values()]
        ended = self._verdict(states)
        EventLog(self.sweep_dir).record(ended)
        return ended

    def _end_of(self, task: TrialTask) -> RunState | None:
        """How a trial's run has ended; None where it never began."""
        log = EventLog(task.run_dir)
        if (attempt := last_attempt(log)) == 0:
            return None
        name = f"attempt-{attempt:03d}-ended"
        if name not in log.names() and not note_lost_owner(task.run_dir):
            message = "ended with its sweep; its last checkpoint is kept"
            state = RunState.CANCELLED
            log.record(AttemptEnded(attempt=attempt, state=state, message=message))
        ended = log.load(name)
        assert isinstance(ended, AttemptEnded)
        return ended.state

    def _verdict(self, states: list[RunState | None]) -> AttemptEnded:
        failed = sum(state in (RunState.FAILED, RunState.LOST) for state in states)
        done = sum(state in (RunState.SUCCEEDED, RunState.DIVERGED) for state in states)
        message = f"{done} of {len(states)} trials done" + (f", {failed} failed" if failed else "")
        state = RunState.SUCCEEDED
        if failed:
            state = RunState.FAILED
        elif self._folder.is_stop_requested(self.number):
            state = RunState.CANCELLED
        elif self._failure is not None or done < len(states):
            state, why = RunState.FAILED, self._failure
            message += f": {type(why).__name__}: {why}" if why else ""
        return AttemptEnded(attempt=self.number, state=state, message=message)
