"""A planned sweep is run, or goes on: what `ablate` does once nothing stands in the way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from resnet_cluster.cli.output import Output, as_json, counted, note, print_json
from resnet_cluster.cli.stores import leave
from resnet_cluster.errors import UsageError
from resnet_cluster.results import RunState

if TYPE_CHECKING:
    from resnet_cluster.cluster.pricing import Pricing
    from resnet_cluster.cluster.sweep_launch import SweepLaunch
    from resnet_cluster.cluster.sweep_order import SweepOptions, TellTrial
    from resnet_cluster.cluster.sweep_plan import PlannedSweep
    from resnet_cluster.results import ResultStore, RunSummary, SweepSummary

ORPHAN_DEADLINE_S, ORPHAN_POLL_S = 20.0, 0.3


@dataclass(frozen=True, kw_only=True)
class How:
    """How a sweep is to be run and shown."""

    address: str | None
    detach: bool
    options: SweepOptions
    rerun: bool
    output: Output


def run(
    planned: PlannedSweep, runs: Mapping[str, RunSummary], store: ResultStore, how: How
) -> None:
    """Run what is not done of a planned sweep, show it, and exit as it ends.

    Args:
        planned: the sweep, which nothing stands in the way of.
        runs: what was found of its trials, by key.
        store: the index of runs.
        how: how.
    """
    from resnet_cluster.cluster.sweep_claim import check_sweep, conclude_done
    from resnet_cluster.cluster.sweep_launch import detach_sweep, launch_sweep, to_do
    from resnet_cluster.home import runs_root

    existing = check_sweep(planned, runs_root())
    if existing is None and (taken := store.by_name(planned.ablation.name)):
        raise UsageError(
            f"the name {planned.ablation.name!r} belongs to the run {taken[-1].run_id}",
            mend="give this sweep another with --name",
        )
    elsewhere = () if how.rerun else _driven_elsewhere(planned, runs, existing)
    _say_the_rule(planned, how)
    settled = {run.key for run in elsewhere} | stopped(existing, runs, how)
    settled |= not_needed(planned, runs, how)
    wanted = wanted_trials(planned, runs, settled, rerun=how.rerun)
    _say_what_is_to_do(planned, wanted, how)
    if not wanted and how.options.limits.needs_probe:
        note("nothing is left to be estimated")
    if not wanted:
        sweep = _claimed(planned, how)
        _print_id(sweep, how.output)
        _await(elsewhere)
        if not elsewhere:
            conclude_done(sweep)
        _print_state(sweep, store, how.output)
        return
    todo = to_do(planned.trials, wanted, store, runs_root(), is_rerun=how.rerun)
    before = {
        place: runs[trial.key].state.value
        for place, trial in enumerate(planned.trials)
        if place not in wanted and trial.key in runs
    }
    launch = _launch(planned, how, pricing(planned, wanted, existing, how), before)
    if how.detach:
        sweep = detach_sweep(todo, runs_root(), launch)
        note(f"look at it with `resnet-cluster status {sweep.name}`")
        _print_id(sweep, how.output)
        return
    launched = launch_sweep(todo, runs_root(), launch)
    if launched.ended.state is RunState.SUCCEEDED:
        _await(elsewhere)
    sweep, ended = launched.sweep, launched.ended
    _print_state(sweep, store, how.output)
    note(f"{sweep.name} ({sweep.sweep_id}): {ended.state}, {ended.message}")
    if ended.is_over_budget:
        note("the same command goes on with a larger --max-gpu-hours or --max-disk")
    elif ended.state is RunState.CANCELLED:
        note("the same command goes on")
    leave(ended, launched.signal)


def wanted_trials(
    planned: PlannedSweep,
    runs: Mapping[str, RunSummary],
    settled: Collection[str],
    *,
    rerun: bool,
) -> dict[int, RunSummary | None]:
    """The trials that are to be run, each with the run that goes on, if there is one.

    Args:
        planned: the sweep.
        runs: what was found of its trials, by key.
        settled: keys of others that are not to be run.
        rerun: run all of them again.
    """
    wanted: dict[int, RunSummary | None] = {}
    for place, trial in enumerate(planned.trials):
        run = runs.get(trial.key)
        if rerun:
            wanted[place] = None
        elif trial.key not in settled and not (run and run.state.is_result):
            wanted[place] = run
    return wanted


def stopped(sweep: SweepSummary | None, runs: Mapping[str, RunSummary], how: How) -> set[str]:
    """Keys of the trials that the same scheduler has stopped; without it they go on."""
    records = sweep.stopped if sweep else ()
    run_ids = {each.run_id for each in records if each.rule == how.options.scheduler}
    return {key for key, run in runs.items() if run.run_id in run_ids}


def not_needed(planned: PlannedSweep, runs: Mapping[str, RunSummary], how: How) -> frozenset[str]:
    """Keys of trials whose combinations are settled already."""
    from resnet_cluster.cli.sweep_seeds import unwanted

    if not how.options.until_significant or how.rerun:
        return frozenset()
    return unwanted([trial.record() for trial in planned.trials], runs)


def _say_the_rule(planned: PlannedSweep, how: How) -> None:
    from resnet_cluster.cluster.rungs import rungs_of

    plans = [trial.planned.plan for trial in planned.trials if trial.planned]
    jobs = [trial.trial.loaded.spec for trial in planned.trials]
    longest = max(plan.num_epochs for plan in plans)
    if rungs := rungs_of(how.options.scheduler, jobs, longest):
        note(rungs.text)


def _driven_elsewhere(
    planned: PlannedSweep, runs: Mapping[str, RunSummary], sweep: SweepSummary | None
) -> tuple[RunSummary, ...]:
    """Trials that other processes run, and that are left to them."""
    from resnet_cluster.results import note_lost_owner

    found = [runs[trial.key] for trial in planned.trials if trial.key in runs]
    alive = [run for run in found if run.attempts and not run.state.is_terminal]
    # What a driver that was killed has left behind ends a moment after it.
    is_lost = sweep is not None and sweep.state is RunState.LOST
    deadline = time.monotonic() + (ORPHAN_DEADLINE_S if is_lost else 0)
    alive = [run for run in alive if not note_lost_owner(run.run_dir)]
    while alive and time.monotonic() < deadline:
        time.sleep(ORPHAN_POLL_S)
        alive = [run for run in alive if not note_lost_owner(run.run_dir)]
    for run in alive:
        note(f"{run.name} ({run.run_id}) is running already, and is left to that")
    return tuple(alive)


def _await(elsewhere: Sequence[RunSummary]) -> None:
    """Wait for trials that other processes run; their ends are theirs to tell."""
    from resnet_cluster.results import follow

    for run in elsewhere:
        note(f"waiting for {run.name} ({run.run_id})")
        follow(run.run_dir)


def _say_what_is_to_do(
    planned: PlannedSweep, wanted: Mapping[int, RunSummary | None], how: How
) -> None:
    begun = sum(run is not None for run in wanted.values())
    more = f", {begun} of them from where they are" if begun else ""
    num_trials = counted(len(planned.trials), "trial")
    most = "at most " if how.options.until_significant and wanted else ""
    note(f"{planned.ablation.name}: {num_trials}, {most}{len(wanted)} to be run{more}")


def _print_id(sweep: SweepSummary, output: Output, stream: TextIO | None = None) -> None:
    """A sweep's id, which is what a script wants of it."""
    if output is Output.table:
        print(sweep.sweep_id, file=stream, flush=True)
    else:
        print_json(as_json(sweep.record), stream=stream)


def _print_state(sweep: SweepSummary, store: ResultStore, output: Output) -> None:
    from resnet_cluster.cli.sweeps import print_trials

    store.ingest()
    print_trials(sweep, store, output, is_followed=True)


def pricing(
    planned: PlannedSweep,
    wanted: Mapping[int, RunSummary | None],
    existing: SweepSummary | None,
    how: How,
) -> Pricing:
    """How the trials that are to be run are priced.

    Args:
        planned: the sweep.
        wanted: the run that goes on, or None for a new one, by the trial's place.
        existing: the sweep as it was left, if it was begun before.
        how: how.
    """
    from resnet_cluster.cli.estimates import show
    from resnet_cluster.cluster.metering import hours_used, sweep_bytes
    from resnet_cluster.cluster.packs import packs_of
    from resnet_cluster.cluster.pricing import Pricing, Work
    from resnet_cluster.home import runs_root

    works = []
    for place, run in wanted.items():
        job = planned.trials[place].planned
        assert job is not None
        works.append(Work(job, run.epochs_done if run else 0))
    packs = packs_of((work.planned.job for work in works), how.options.pack)
    done = (trial.key for place, trial in enumerate(planned.trials) if place not in wanted)
    return Pricing(
        works=tuple(works),
        limits=how.options.limits,
        storage=runs_root(),
        note=lambda text, stream: note(text, stream=stream),
        show=show,
        trials_per_gpu=how.options.trials_per_gpu,
        pack=max(map(len, packs)),
        hours_before=hours_used(existing.sweep_dir) if existing else 0.0,
        bytes_before=sweep_bytes(runs_root(), done),
    )


def _claimed(planned: PlannedSweep, how: How) -> SweepSummary:
    from resnet_cluster.cluster.sweep_claim import claim_sweep
    from resnet_cluster.home import runs_root

    return claim_sweep(
        planned,
        runs_root(),
        scheduler=how.options.scheduler,
        until_significant=how.options.until_significant,
    )


def _launch(
    planned: PlannedSweep, how: How, pricing: Pricing, ended: Mapping[int, str]
) -> SweepLaunch:
    from resnet_cluster.cluster.sweep_launch import SweepLaunch

    names = [trial.name for trial in planned.trials]
    return SweepLaunch(
        address=how.address,
        claim=lambda: _claimed(planned, how),
        options=how.options,
        pricing=pricing,
        display=lambda sweep, out, err: _display(sweep, names, ended, pricing, how, out, err),
    )


@contextlib.contextmanager
def _display(
    sweep: SweepSummary,
    names: list[str],
    ended: Mapping[int, str],
    pricing: Pricing,
    how: How,
    out: TextIO,
    err: TextIO,
) -> Iterator[TellTrial]:
    from resnet_cluster.cli.sweep_display import sweep_display

    note(f"{sweep.name} ({sweep.sweep_id}) begins; its folder is {sweep.sweep_dir}", stream=err)
    note(
        "Ctrl-C once lets running trials write checkpoints and ends; the same command goes on",
        stream=err,
    )
    _print_id(sweep, how.output, out)
    with sweep_display(
        names,
        how.output,
        out=out,
        err=err,
        share=1 / (pricing.trials_per_gpu * pricing.pack),
        may_leave_out=how.options.until_significant,
        ended=ended,
    ) as tell:
        yield tell
