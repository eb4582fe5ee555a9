"""Hours of the trials of a sweep, as its state shows them."""

from __future__ import annotations

from factories import make_job, make_run_record, make_summary

from resnet_cluster.cli.sweep_rows import HEADER, taken_hours, trial_objects, trial_rows
from resnet_cluster.results import (
    SweepOutcomeRecord,
    SweepTrial,
    TrialOutcome,
)

TRIALS = tuple(SweepTrial(name=f"s{n}", key=f"{n:064d}", point={}, seed=n) for n in range(3))
RUNS = {
    trial.key: make_summary(make_run_record(make_job(), run_id=f"r-{trial.seed}", key=trial.key))
    for trial in TRIALS[:2]
}


def outcome(attempt: int, hours: dict[str, float]) -> SweepOutcomeRecord:
    taken = tuple(TrialOutcome(run_id=run, seconds=1.0, hours=each) for run, each in hours.items())
    total = sum(hours.values())
    return SweepOutcomeRecord(
        attempt=attempt, unit="GPU-hours", seconds=1.0, hours=total, disk_bytes=0, trials=taken
    )


def test_hours_are_the_part_that_each_trial_took_in_all_attempts() -> None:
    outcomes = (outcome(1, {"r-0": 0.25, "r-1": 0.25}), outcome(2, {"r-1": 0.5, "r-9": 8.0}))
    taken = taken_hours(outcomes, RUNS)
    assert taken == {TRIALS[0].key: 0.25, TRIALS[1].key: 0.75}
    column = HEADER.index("hours")
    assert [row[column] for row in trial_rows(TRIALS, RUNS, taken=taken)] == ["0.250", "0.750", ""]
    assert [row[column] for row in trial_rows(TRIALS, RUNS)] == ["0.000", "0.000", ""]
    objects = trial_objects(TRIALS, RUNS, taken=taken)
    assert [each["taken_hours"] for each in objects] == [0.25, 0.75, None]
