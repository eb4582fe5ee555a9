"""`ablate --dry-run`: what a sweep would do, and where that is asked for what it would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from resnet_cluster.cli.output import Output, counted, note, print_json, print_table
from resnet_cluster.cli.stores import opened_store
from resnet_cluster.cli.sweep_rows import HEADER, taken_hours, trial_objects, trial_rows
from resnet_cluster.cli.sweeping import How, not_needed, pricing, stopped, wanted_trials
from resnet_cluster.errors import PreflightError

if TYPE_CHECKING:
    from resnet_cluster.cluster.sweep_plan import PlannedSweep
    from resnet_cluster.results import RunSummary, SweepEstimateRecord, SweepSummary


def print_plan(planned: PlannedSweep, how: How) -> None:
    """The trials, what was found of them, what would refuse them, and what they would take."""
    from resnet_cluster.cluster.connection import needed_address
    from resnet_cluster.cluster.metering import outcomes_so_far

    if how.detach:
        needed_address(how.address)
    existing, runs = _known(planned)
    failures = list(planned.failures)
    estimate = None
    if not failures:
        estimate, failures = _priced(planned, existing, runs, how)
    outcomes = outcomes_so_far(existing.sweep_dir) if existing else ()
    taken = taken_hours(outcomes, runs)
    if how.output is Output.json:
        _print_object(planned, runs, taken, estimate, failures)
    else:
        _print_rows(planned, runs, taken, estimate, how)
    for failure in failures:
        note(f"would be refused: {failure.message}\n  mend: {failure.mend}")


def _known(planned: PlannedSweep) -> tuple[SweepSummary | None, Mapping[str, RunSummary]]:
    """What has been run of a plan, where anything has: a plan leaves nothing behind."""
    from resnet_cluster.cluster.sweep_claim import check_sweep
    from resnet_cluster.cluster.sweep_plan import found_runs
    from resnet_cluster.home import has_results, runs_root

    if not has_results():
        return None, {}
    sweep = None
    if not planned.failures:
        sweep = check_sweep(planned, runs_root(), may_run=True)
    with opened_store() as store:
        return sweep, found_runs(planned, store)


def _priced(
    planned: PlannedSweep,
    existing: SweepSummary | None,
    runs: Mapping[str, RunSummary],
    how: How,
) -> tuple[SweepEstimateRecord | None, list[PreflightError]]:
    """What is to be run will take, and by which limits it would be refused."""
    from resnet_cluster.cluster.capacity import own_machine
    from resnet_cluster.cluster.connection import chosen_address
    from resnet_cluster.cluster.pricing import estimated_alone
    from resnet_cluster.cluster.sweep_launch import check_trial

    settled = stopped(existing, runs, how) | not_needed(planned, runs, how)
    wanted = wanted_trials(planned, runs, settled, rerun=how.rerun)
    if not wanted:
        return None, []
    priced = replace(
        pricing(planned, wanted, existing, how),
        show=lambda estimate, stream: None,  # it is the result, and shown as that
    )
    failures: list[PreflightError] = []
    estimate = None
    if chosen_address(how.address) is None:
        machine = own_machine()
        for work in priced.works:
            _note_failure(failures, partial(check_trial, work.planned, machine, how.options))
        _note_failure(failures, lambda: priced.check(machine))
    if how.options.limits.needs_probe:
        estimate = estimated_alone(priced, how.address)
        _note_failure(failures, lambda: priced.check_hours(estimate))
    return estimate, failures


def _note_failure(failures: list[PreflightError], check: Callable[[], None]) -> None:
    try:
        check()
    except PreflightError as failure:
        if failure.message not in [each.message for each in failures]:
            failures.append(failure)


def _print_object(
    planned: PlannedSweep,
    runs: Mapping[str, RunSummary],
    taken: Mapping[str, float],
    estimate: SweepEstimateRecord | None,
    failures: list[PreflightError],
) -> None:
    from resnet_cluster.cli.estimates import estimate_object

    print_json(
        {
            "name": planned.ablation.name,
            "trials": trial_objects(
                [trial.record() for trial in planned.trials], runs, _expected(estimate), taken
            ),
            "failures": [failure.message for failure in failures],
            "estimate": estimate_object(estimate),
        }
    )


def _expected(estimate: SweepEstimateRecord | None) -> dict[str, float]:
    return {trial.key: trial.hours for trial in estimate.trials} if estimate else {}


def _print_rows(
    planned: PlannedSweep,
    runs: Mapping[str, RunSummary],
    taken: Mapping[str, float],
    estimate: SweepEstimateRecord | None,
    how: How,
) -> None:
    trials = [trial.record() for trial in planned.trials]
    print_table(HEADER, trial_rows(trials, runs, _expected(estimate), taken))
    done = [trial for trial in trials if trial.key in runs and runs[trial.key].state.is_result]
    done = [] if how.rerun else done
    most = "at most " if how.options.until_significant else ""
    note(f"{counted(len(trials), 'trial')}, {most}{len(trials) - len(done)} to be run")
    if estimate is None and how.options.limits.needs_probe and len(done) == len(trials):
        note("nothing is left to be estimated")
    if estimate is not None:
        from resnet_cluster.cli.estimates import show

        show(estimate)
