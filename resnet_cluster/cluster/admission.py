"""Lets the trials of a sweep run as its gate wants them, while the sweep is driven."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path

from resnet_cluster.cluster.key_claim import key_owner
from resnet_cluster.cluster.seed_gate import PROTOCOL, SeedGate
from resnet_cluster.cluster.sweep_order import TrialOrder
from resnet_cluster.errors import IntegrityError
from resnet_cluster.report.sequential import SequentialVerdict
from resnet_cluster.results import (
    AttemptEnded,
    EvaluationRecord,
    EventLog,
    RunState,
    SweepTrial,
    last_attempt,
    load_sweep,
    note_lost_owner,
)

ELSEWHERE_EVERY_S = 2.0
"""Between looks at trials that other processes run."""


class Admission:
    """Which orders may begin. Looked after in the driver's thread, asked in Tune's.

    Args:
        trials: all trials of the sweep.
        orders: those that may have to be run.
        runs_root: the folder of runs.
    """

    def __init__(
        self, trials: Sequence[SweepTrial], orders: Sequence[TrialOrder], runs_root: Path
    ) -> None:
        self.is_closed = False
        """Whether no more will be let in."""
        self._gate = SeedGate(tuple(trials))
        self._orders, self._root = orders, runs_root
        self._index = {order.place: index for index, order in enumerate(orders)}
        self._waiting: deque[int] = deque()
        self._admitted: set[int] = set()
        self._errors: dict[int, float | None] = {}
        self._verdict: SequentialVerdict | None = None
        self._looked_elsewhere = -math.inf

    @property
    def num_left_out(self) -> int:
        """Orders that were not needed."""
        return len(self._orders) - len(self._admitted) if self.is_closed else 0

    def next(self) -> int | None:
        """The index of an order that may begin now; None where there is none."""
        return self._waiting.popleft() if self._waiting else None

    def look(self, ended: Collection[int]) -> tuple[str, ...]:
        """Judge what has ended; returns what is settled now and was not.

        Args:
            ended: indexes of orders that were begun and run no more.
        """
        known = len(self._errors)
        self._take_in(ended)
        if self._verdict is not None and len(self._errors) == known:
            return ()
        state = self._gate.look(self._errors)
        for place in sorted(state.wanted):
            index = self._index.get(place)
            if index is not None and index not in self._admitted:
                self._admitted.add(index)
                self._waiting.append(index)
        self.is_closed = not state.wanted
        before, self._verdict = self._verdict, state.verdict
        told = before.settled if before else ()
        return self._gate.lines(
            SequentialVerdict(
                settled=tuple(each for each in state.verdict.settled if each not in told),
                open=() if state.wanted else state.verdict.open,
                wanting=(),
                num_seeds=state.verdict.num_seeds,
            )
        )

    def _take_in(self, ended: Collection[int]) -> None:
        """Note the errors of what has ended, here or in other processes."""
        for index in ended:
            if (order := self._orders[index]).place not in self._errors:
                self._errors[order.place] = _outcome(order.actual_run_dir)[1]
        if time.monotonic() - self._looked_elsewhere < ELSEWHERE_EVERY_S:
            return
        self._looked_elsewhere = time.monotonic()
        for place, trial in enumerate(self._gate.trials):
            if place not in self._errors and place not in self._index:
                owner = key_owner(self._root, trial.key)
                state, error = _outcome(self._root / owner) if owner else (None, None)
                if state is not None:
                    self._errors[place] = error


def build_admission(sweep_dir: Path, orders: Sequence[TrialOrder]) -> Admission:
    """The one of a sweep, whose plan is in its folder."""
    sweep = load_sweep(sweep_dir)
    return Admission(sweep.trials if sweep else (), orders, sweep_dir.parent)


def _outcome(run_dir: Path) -> tuple[RunState | None, float | None]:
    """How a run has ended, if it has, and its error under the single view, if it has one."""
    log = EventLog(run_dir)
    try:
        note_lost_owner(run_dir)
        ended = log.load(f"attempt-{last_attempt(log):03d}-ended")
        assert isinstance(ended, AttemptEnded)
        if ended.state is not RunState.SUCCEEDED:
            return ended.state, None
        names = (name for name in log.names() if name.startswith(f"evaluation-{PROTOCOL}-test-"))
        figures = [log.load(name) for name in names]
    except IntegrityError:
        return None, None
    errors = [each.top1_err for each in figures if isinstance(each, EvaluationRecord)]
    return RunState.SUCCEEDED, errors[0] if errors else None
