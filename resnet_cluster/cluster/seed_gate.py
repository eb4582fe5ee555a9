"""Which trials of a sweep are wanted, where seeds are spent on open questions alone.

A sweep asks for several seeds of each combination, at most so many. With a gate two of each are
run; then the pairs are looked at, and each combination that is in an open pair gets one seed more;
and so on. `report/sequential.py` says when a pair is settled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from resnet_cluster.report.sequential import FIRST_LOOK, SequentialVerdict, judge
from resnet_cluster.results import RunSummary, SweepTrial

_SEED = re.compile(r"-s\d+$")
PROTOCOL = "single"
"""Of the errors that are looked at."""


@dataclass(frozen=True, kw_only=True)
class GateState:
    """What is known, and what is wanted next.

    Attributes:
        verdict: of the pairs; its places are those of the gate's groups.
        wanted: places of trials that are to be run now.
    """

    verdict: SequentialVerdict
    wanted: frozenset[int]


@dataclass(frozen=True)
class SeedGate:
    """The trials of a sweep, by what they have in common but for the seed.

    Attributes:
        trials: all of them, the seeds of one combination in order.
    """

    trials: tuple[SweepTrial, ...]

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Places of the seeds of each combination."""
        found: dict[str, list[int]] = {}
        for place, trial in enumerate(self.trials):
            found.setdefault(json.dumps(trial.point, sort_keys=True), []).append(place)
        return tuple(map(tuple, found.values()))

    def name(self, group: int) -> str:
        """What to call a group: its first trial's name, without the seed where that ends it."""
        return _SEED.sub("", self.trials[self.groups[group][0]].name)

    def look(self, errors: Mapping[int, float | None]) -> GateState:
        """Judge what is there.

        Args:
            errors: of each trial that has ended, in percent, by its place; None where it has no
                figure: its combination gets no more seeds.
        """
        known = [_known(group, errors) for group in self.groups]
        most = max(map(len, self.groups))
        stuck = [
            number
            for number, (group, values) in enumerate(zip(self.groups, known, strict=True))
            if len(values) < most and (len(values) == len(group) or group[len(values)] in errors)
        ]
        verdict = judge(known, most, stuck=stuck)
        next_look = max(FIRST_LOOK, verdict.num_seeds + 1)
        wanted = {
            place
            for number in verdict.wanting
            for place in self.groups[number][:next_look]
            if place not in errors
        }
        return GateState(verdict=verdict, wanted=frozenset(wanted))

    def look_at_runs(self, runs: Mapping[str, RunSummary]) -> GateState:
        """The same of runs in the store, by key."""
        errors = {}
        for place, trial in enumerate(self.trials):
            run = runs.get(trial.key)
            if run is not None and run.state.is_result:
                figures = [each for each in run.evaluations if each.protocol == PROTOCOL]
                errors[place] = figures[0].errors.top1_err if figures else None
        return self.look(errors)

    def lines(self, verdict: SequentialVerdict) -> tuple[str, ...]:
        """What is settled and what is not, a line each."""
        settled = [
            f"{self.name(pair.first)} is better than {self.name(pair.second)} by "
            f"{-pair.difference:.2f} points (after {pair.num_seeds} seeds of each: p = "
            f"{pair.p:.2g}, below {pair.level:.2g})"
            for pair in verdict.settled
        ]
        return (*settled, *(self._open_line(pair, verdict) for pair in verdict.open))

    def _open_line(self, pair: tuple[int, int], verdict: SequentialVerdict) -> str:
        first, second = map(self.name, pair)
        after = f" after {verdict.num_seeds} seeds of each" if verdict.num_seeds else ""
        return f"{first} and {second}: not settled{after}"


def _known(group: Sequence[int], errors: Mapping[int, float | None]) -> list[float]:
    """Errors of the first seeds, up to one that has none yet."""
    values: list[float] = []
    for place in group:
        error = errors.get(place)
        if error is None:
            break
        values.append(error)
    return values
