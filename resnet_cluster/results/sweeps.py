"""Sweeps by their folders: what each is, which plan holds, and whether somebody drives it."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from resnet_cluster.errors import IntegrityError, UnknownRunError, UsageError
from resnet_cluster.results.base import Record
from resnet_cluster.results.events import EventLog
from resnet_cluster.results.ownership import last_attempt, note_lost_owner
from resnet_cluster.results.records import AttemptEnded, RunState
from resnet_cluster.results.sweep_records import (
    SweepEstimateRecord,
    SweepOutcomeRecord,
    SweepPlanRecord,
    SweepRecord,
    SweepTrial,
    TrialStoppedRecord,
)

AnyKind = TypeVar("AnyKind", bound=Record)

PREFIX = "s-"
"""Of a sweep's id, and of its folder among those of runs."""


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """A sweep as its events tell of it."""

    record: SweepRecord
    plans: tuple[SweepPlanRecord, ...]
    sweep_dir: Path
    state: RunState
    """Of its last attempt; PENDING where none has begun."""
    message: str = ""
    stopped: tuple[TrialStoppedRecord, ...] = ()
    """Trials that a scheduler has ended early."""
    estimates: tuple[SweepEstimateRecord, ...] = ()
    """What was expected of attempts at it, where that was asked for."""
    outcomes: tuple[SweepOutcomeRecord, ...] = ()
    """What its attempts have taken."""

    @property
    def sweep_id(self) -> str:
        """`s-0123abcd`."""
        return self.record.sweep_id

    @property
    def name(self) -> str:
        """Name that the ablation gave it."""
        return self.record.name

    @property
    def trials(self) -> tuple[SweepTrial, ...]:
        """Those of the plan that holds."""
        return self.plans[-1].trials if self.plans else ()


def load_sweeps(runs_root: Path) -> tuple[SweepSummary, ...]:
    """Every sweep that can be read, the oldest first."""
    found = []
    for folder in _folders(runs_root):
        with contextlib.suppress(IntegrityError):
            if (sweep := load_sweep(folder)) is not None:
                found.append(sweep)
    return tuple(sorted(found, key=lambda sweep: (sweep.record.at, sweep.sweep_id)))


def load_sweep(sweep_dir: Path) -> SweepSummary | None:
    """The sweep of a folder; None where nobody has begun one in it.

    Raises:
        IntegrityError: its events are damaged.
    """
    with contextlib.suppress(OSError):  # a storage that may only be read here
        note_lost_owner(sweep_dir)
    log = EventLog(sweep_dir)
    names = log.names()
    if "sweep" not in names:
        return None
    record = log.load("sweep")
    assert isinstance(record, SweepRecord)
    state, message = _state(log, names)
    return SweepSummary(
        record=record,
        plans=_loaded(log, names, "plan-", SweepPlanRecord),
        sweep_dir=sweep_dir,
        state=state,
        message=message,
        stopped=_loaded(log, names, "stopped-", TrialStoppedRecord),
        estimates=_loaded(log, names, "estimate-", SweepEstimateRecord),
        outcomes=_loaded(log, names, "outcome-", SweepOutcomeRecord),
    )


def _loaded(
    log: EventLog, names: list[str], prefix: str, kind: type[AnyKind]
) -> tuple[AnyKind, ...]:
    records = (log.load(name) for name in names if name.startswith(prefix))
    return tuple(record for record in records if isinstance(record, kind))


def find_sweep(runs_root: Path, reference: str) -> SweepSummary | None:
    """The sweep of that id, or else of that name, or else the one whose id begins so; or None.

    Raises:
        UsageError: several ids begin so.
        IntegrityError: its events are damaged.
    """
    if reference.startswith(PREFIX) and (runs_root / reference).is_dir():
        return load_sweep(runs_root / reference)
    if (named := named_sweep(runs_root, reference)) is not None:
        return named
    begun = [path for path in _folders(runs_root) if path.name.startswith(reference)]
    if not reference.startswith(PREFIX) or not begun:
        return None
    if len(begun) > 1:
        raise UsageError(
            f"{len(begun)} sweeps have an id that begins with {reference!r}",
            mend="give more of it: " + ", ".join(path.name for path in begun[:8]),
        )
    return load_sweep(begun[0])


def named_sweep(runs_root: Path, name: str) -> SweepSummary | None:
    """The newest sweep of that name; None where there is none.

    Raises:
        IntegrityError: what else is known of it is damaged.
    """
    found = []
    for folder in _folders(runs_root):
        with contextlib.suppress(IntegrityError):
            record = EventLog(folder).load("sweep")
            if isinstance(record, SweepRecord) and record.name == name:
                found.append((record.at, folder))
    return load_sweep(max(found)[1]) if found else None


def find_trial(sweep: SweepSummary, reference: str) -> SweepTrial:
    """The trial of that name or number, counted from 1.

    Raises:
        UnknownRunError: there is none.
    """
    for number, trial in enumerate(sweep.trials, start=1):
        if reference in (str(number), trial.name):
            return trial
    near = difflib.get_close_matches(reference, [trial.name for trial in sweep.trials], n=1)
    raise UnknownRunError(
        f"{sweep.name} has no trial {reference!r}",
        mend=f"did you mean {near[0]}?" if near else f"a number from 1 to {len(sweep.trials)}",
    )


def _folders(runs_root: Path) -> Iterator[Path]:
    if runs_root.is_dir():
        yield from sorted(path for path in runs_root.glob(f"{PREFIX}*") if path.is_dir())


def _state(log: EventLog, names: list[str]) -> tuple[RunState, str]:
    attempt = last_attempt(log)
    if attempt == 0:
        return RunState.PENDING, ""
    end = f"attempt-{attempt:03d}-ended"
    if end not in names:
        return RunState.RUNNING, ""
    ended = log.load(end)
    assert isinstance(ended, AttemptEnded)
    return ended.state, ended.message
