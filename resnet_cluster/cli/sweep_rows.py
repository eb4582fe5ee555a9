"""Trials as rows: what a plan and a sweep's state show of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_cluster.results import RunSummary, SweepOutcomeRecord, SweepSummary, SweepTrial

KEY_LENGTH = 12
"""Of a key, for people: the whole of it is in JSON."""
HEADER = ("#", "trial", "state", "epoch", "error", "hours", "expected", "key")


def trial_rows(
    trials: Sequence[SweepTrial],
    runs: Mapping[str, RunSummary],
    expected: Mapping[str, float] | None = None,
    taken: Mapping[str, float] | None = None,
) -> Iterator[tuple[str, ...]]:
    """Rows under `HEADER`.

    Args:
        trials: of a sweep.
        runs: what was found of each, by key.
        expected: hours that the sweep's estimates gave to trials, by key.
        taken: hours that trials took, by key.
    """
    expected, taken = expected or {}, taken or {}
    for number, trial in enumerate(trials, start=1):
        run = runs.get(trial.key)
        error = single_error(run)
        yield (
            str(number),
            run.name if run else trial.name,
            run.state.value if run else "NEW",
            epochs_text(run),
            "" if error is None else f"{error:.2f} %",
            f"{taken.get(trial.key, hours_used(run)):.3f}" if run and run.attempts else "",
            f"{expected[trial.key]:.3f}" if trial.key in expected else "",
            trial.key[:KEY_LENGTH],
        )


def trial_objects(
    trials: Sequence[SweepTrial],
    runs: Mapping[str, RunSummary],
    expected: Mapping[str, float] | None = None,
    taken: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """The same for programs."""
    expected, taken = expected or {}, taken or {}
    found = []
    for number, trial in enumerate(trials, start=1):
        run = runs.get(trial.key)
        found.append(
            {
                "trial": number,
                "name": run.name if run else trial.name,
                "key": trial.key or None,
                "point": trial.point,
                "seed": trial.seed,
                "run_id": run and run.run_id,
                "state": run.state.value if run else None,
                "epochs_done": run.epochs_done if run else 0,
                "top1_err": single_error(run),
                "worker_hours": hours_used(run) if run else 0.0,
                "taken_hours": taken.get(trial.key),
                "expected_hours": expected.get(trial.key),
            }
        )
    return found


def expected_hours(sweep: SweepSummary, runs: Mapping[str, RunSummary]) -> dict[str, float]:
    """Hours of each trial by the last estimate that had it, and what attempts before it took.

    Args:
        sweep: the sweep.
        runs: what was found of each trial, by key.

    Returns:
        By key.
    """
    found = {}
    for estimate in sweep.estimates:
        before = [each for each in sweep.outcomes if each.attempt < estimate.attempt]
        for trial in estimate.trials:
            run_id = runs[trial.key].run_id if trial.key in runs else None
            taken = (one.hours for each in before for one in each.trials if one.run_id == run_id)
            found[trial.key] = trial.hours + sum(taken)
    return found


def taken_hours(
    outcomes: Iterable[SweepOutcomeRecord], runs: Mapping[str, RunSummary]
) -> dict[str, float]:
    """Hours of each trial in attempts at a sweep, by key.

    Where trials share a GPU or a process, each has its part: what `hours_used` knows nothing of.
    """
    found: dict[str, float] = {}
    key_of = {run.run_id: key for key, run in runs.items()}
    for outcome in outcomes:
        for trial in outcome.trials:
            if (key := key_of.get(trial.run_id)) is not None:
                found[key] = found.get(key, 0.0) + trial.hours
    return found


def single_error(run: RunSummary | None) -> float | None:
    """Top-1 error in percent under the single view, of a run that has been measured."""
    figures = run.evaluations if run else ()
    return next((each.errors.top1_err for each in figures if each.protocol == "single"), None)


def epochs_text(run: RunSummary | None) -> str:
    """`2/3`."""
    if run is None:
        return ""
    record = run.record
    return f"{run.epochs_done}/{-(-record.num_steps // record.steps_per_epoch)}"


def hours_used(run: RunSummary | None) -> float:
    """Hours of all workers, from the beginning of each attempt's training to its end; those of an
    attempt that goes on are not counted yet."""
    total = 0.0
    for attempt in run.attempts if run else ():
        if attempt.training_at and attempt.ended_at:
            seconds = (attempt.ended_at - attempt.training_at).total_seconds()
            total += max(seconds, 0.0) * (attempt.world_size or 1) / 3600
    return total
