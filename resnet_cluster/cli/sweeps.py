"""Sweeps for `list`, `status`, `logs`, `wait`, `stop` and `rm`: an ID may be a sweep's too."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resnet_cluster.cli.output import (
    SCHEMA_VERSION,
    Output,
    note,
    print_json,
    print_pairs,
    print_table,
)
from resnet_cluster.cli.stores import is_newly_lost, remove_folder
from resnet_cluster.cli.sweep_rows import (
    HEADER,
    expected_hours,
    hours_used,
    taken_hours,
    trial_objects,
    trial_rows,
)

if TYPE_CHECKING:
    from resnet_cluster.results import (
        AttemptEnded,
        ResultStore,
        RunSummary,
        SweepOutcomeRecord,
        SweepSummary,
    )


def found_sweep(reference: str) -> SweepSummary | None:
    """The sweep of an id, a prefix or a name; None where there is none."""
    from resnet_cluster.home import runs_root
    from resnet_cluster.results import find_sweep

    return find_sweep(runs_root(), reference)


def print_sweeps(output: Output) -> None:
    """The sweeps, the newest last."""
    from resnet_cluster.home import runs_root
    from resnet_cluster.results import load_sweeps

    sweeps = load_sweeps(runs_root())
    if output is Output.json:
        print_json([{"schema_version": SCHEMA_VERSION} | _facts(sweep) for sweep in sweeps])
    elif not sweeps:
        note("there are no sweeps yet; try `resnet-cluster ablate --help`")
    else:
        rows = [
            (
                sweep.sweep_id,
                sweep.name,
                sweep.state.value,
                str(len(sweep.trials)),
                f"{sweep.record.at.astimezone():%Y-%m-%d %H:%M}",
            )
            for sweep in sweeps
        ]
        print_table(("id", "name", "state", "trials", "begun"), rows)


def _facts(sweep: SweepSummary) -> dict[str, Any]:
    return {
        "sweep_id": sweep.sweep_id,
        "name": sweep.name,
        "state": sweep.state.value,
        "message": sweep.message,
        "num_trials": len(sweep.trials),
        "created_at": sweep.record.at.isoformat(),
        "folder": str(sweep.sweep_dir),
    }


def print_status(sweep: SweepSummary, store: ResultStore, output: Output) -> None:
    """A sweep and its trials."""
    if output is Output.table:
        record = sweep.record
        print_pairs(
            [
                ("sweep_id", sweep.sweep_id),
                ("name", sweep.name),
                ("state", f"{sweep.state}{': ' if sweep.message else ''}{sweep.message}"),
                ("dataset", record.dataset_name),
                ("command", sweep.plans[-1].command if sweep.plans else record.command),
                ("created_at", record.at.isoformat()),
                ("folder", str(sweep.sweep_dir)),
            ]
        )
    print_trials(sweep, store, output)


def print_trials(
    sweep: SweepSummary, store: ResultStore, output: Output, *, is_followed: bool = False
) -> None:
    """The trials of a sweep and what became of each; of one that was followed on stderr, for the
    id alone is on stdout then."""
    from resnet_cluster.cli.estimates import estimate_object, outcome_lines
    from resnet_cluster.cli.sweep_seeds import verdict_lines, verdict_object
    from resnet_cluster.cluster.metering import outcomes_so_far
    from resnet_cluster.cluster.sweep_plan import trial_runs
    from resnet_cluster.results import load_sweep

    newest = load_sweep(sweep.sweep_dir) or sweep
    is_gated = bool(newest.plans) and newest.plans[-1].until_significant
    runs = trial_runs(newest.trials, store)
    if [run for run in runs.values() if is_newly_lost(run)]:
        store.ingest()
        runs = trial_runs(newest.trials, store)
    outcomes = outcomes_so_far(newest.sweep_dir)
    expected, taken = expected_hours(newest, runs), taken_hours(outcomes, runs)
    if output is Output.json:
        print_json(
            {
                "kind": "sweep_status",
                "sweep_id": newest.sweep_id,
                "name": newest.name,
                "state": newest.state.value,
                "message": newest.message,
                "trials": trial_objects(newest.trials, runs, expected, taken),
                "estimates": [estimate_object(each) for each in newest.estimates],
                "outcomes": [each.model_dump(mode="json") for each in newest.outcomes],
            }
            | ({"pairs": verdict_object(newest.trials, runs)} if is_gated else {})
        )
        return
    print_table(HEADER, trial_rows(newest.trials, runs, expected, taken), err=is_followed)
    note(_used(outcomes, runs))
    for line in outcome_lines(newest):
        note(line)
    for line in verdict_lines(newest.trials, runs) if is_gated else ():
        note(line)


def _used(outcomes: Sequence[SweepOutcomeRecord], runs: Mapping[str, RunSummary]) -> str:
    """Hours of all attempts, of trials that are no longer asked for too."""
    if not outcomes:
        return f"{sum(map(hours_used, runs.values())):.3f} hours of workers used"
    return f"{sum(outcome.hours for outcome in outcomes):.3f} {outcomes[-1].unit} used"


def wait_for(sweep: SweepSummary, timeout: float | None) -> AttemptEnded:
    """The end of a sweep's attempt."""
    from resnet_cluster.results import follow

    deadline = None if timeout is None else time.monotonic() + timeout
    ended = follow(sweep.sweep_dir, deadline=deadline)
    note(f"{sweep.name} ({sweep.sweep_id}): {ended.state}, {ended.message}")
    return ended


def stop_sweep(sweep: SweepSummary, timeout: float) -> None:
    """Ask a sweep's running trials to write checkpoints and end."""
    from resnet_cluster.cluster.run_folder import RunFolder
    from resnet_cluster.results import EventLog, RunState, last_attempt

    if sweep.state is not RunState.RUNNING:
        note(f"{sweep.name} ({sweep.sweep_id}) does not run: {sweep.state}")
        return
    RunFolder(sweep.sweep_dir).request_stop(last_attempt(EventLog(sweep.sweep_dir)))
    wait_for(sweep, timeout)


def remove_sweep(sweep: SweepSummary) -> None:
    """Remove a sweep's own folder; its trials' runs stay."""
    from resnet_cluster.errors import UsageError
    from resnet_cluster.results import RunState

    if sweep.state is RunState.RUNNING:
        raise UsageError(
            f"{sweep.name} ({sweep.sweep_id}) is running",
            mend=f"stop it first with `resnet-cluster stop {sweep.name}`",
        )
    remove_folder(sweep.sweep_dir)
    note(f"removed {sweep.name} ({sweep.sweep_id}); the runs of its trials are kept")
