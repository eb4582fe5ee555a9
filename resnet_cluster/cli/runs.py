"""`list`, `status`, `logs`, `wait`, `stop`, `rm`: what became of the runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_cluster.cli.output import (
    SCHEMA_VERSION,
    Output,
    OutputOption,
    as_json,
    counted,
    note,
    print_json,
    print_pairs,
    print_table,
    printable,
)
from resnet_cluster.cli.stores import is_newly_lost, leave, looked_up, opened_store, remove_folder
from resnet_cluster.cli.sweep_rows import single_error
from resnet_cluster.cli.sweeps import (
    found_sweep,
    print_status,
    print_sweeps,
    remove_sweep,
    stop_sweep,
    wait_for,
)

if TYPE_CHECKING:
    from resnet_cluster.results import ResultStore, RunSummary

RunArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="Id of a run or sweep, the beginning of one, or its name."),
]
STOP_TIMEOUT_S = 180.0


def list_runs(
    sweeps: Annotated[bool, typer.Option("--sweeps", help="List the sweeps instead.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """List the runs, the newest last."""
    if sweeps:
        print_sweeps(output)
        return
    with opened_store() as store:
        runs = store.runs()
        if [run for run in runs if is_newly_lost(run)]:
            store.ingest()
            runs = store.runs()
    if output is Output.json:
        print_json([{"schema_version": SCHEMA_VERSION} | _facts(run) for run in runs])
    elif runs:
        _print_runs(runs)
    else:
        note("there are no runs yet; try `resnet-cluster init`")


def status(run: RunArgument, output: OutputOption = Output.table) -> None:
    """Show the state of a run, its epochs and its figures; or of a sweep, and of its trials."""
    if (sweep := found_sweep(run)) is not None:
        with opened_store() as store:
            print_status(sweep, store, output)
        return
    with opened_store() as store:
        found = looked_up(store, run)
        epochs = store.epochs(found.run_id)
        uses = {each.dataset_sha256: each for each in store.uses_of_test_sets()}
    facts = _facts(found) | {
        "dataset_sha256": found.dataset.sha256,
        "git_commit": found.record.git_commit,
        "command": found.record.command,
        "test_set_uses": uses[found.dataset.sha256].total,
        "checkpoint_step": _checkpoint_step(found),
        "num_bad_samples": found.num_bad_samples,
    }
    if output is Output.json:
        lists = {
            "epochs": [as_json(epoch) for epoch in epochs],
            "evaluations": [as_json(evaluation) for evaluation in found.evaluations],
        }
        print_json(facts | lists)
        return
    from resnet_cluster.cli.display import describe

    print_pairs((label, _shown(value)) for label, value in facts.items() if _applies(label, found))
    for epoch in epochs:
        typer.echo(describe(epoch))
    for evaluation in found.evaluations:
        typer.echo(describe(evaluation))


def logs(
    run: RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    trial: Annotated[
        str | None, typer.Option(help="Number or name of a trial, where ID is a sweep's.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Show what happened in a run, and what its workers and Ray printed."""
    from resnet_cluster.cli.display import training_display
    from resnet_cluster.results import EventLog
    from resnet_cluster.results import follow as follow_run

    with opened_store() as store:
        found = looked_up(store, _run_of_trial(store, run, trial))
    with training_display(output, err=sys.stdout, has_progress=False, has_times=True) as display:
        if follow:  # of an ended run too: the exit code must not depend on who was first
            leave(follow_run(found.run_dir, tell=display.tell))
        for _, record in EventLog(found.run_dir).read(
            on_damaged=lambda _, error: display.tell(f"warning: {error.message}")
        ):
            display.tell(record)
    if output is Output.table:
        _print_files(found.run_dir / "logs")


def wait(
    run: RunArgument,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait at most.")] = None,
) -> None:
    """Wait until a run has ended; the exit code says how."""
    from resnet_cluster.results import follow

    if (sweep := found_sweep(run)) is not None:
        leave(wait_for(sweep, timeout))
    with opened_store() as store:
        found = looked_up(store, run)
    deadline = None if timeout is None else time.monotonic() + timeout
    ended = follow(found.run_dir, deadline=deadline)
    note(f"{found.name} ({found.run_id}): {ended.state}")
    leave(ended)


def stop(
    run: RunArgument,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for its checkpoint and its end.")
    ] = STOP_TIMEOUT_S,
) -> None:
    """Ask a run to write a checkpoint and end as CANCELLED, and wait until it has."""
    from resnet_cluster.cluster.run_folder import RunFolder
    from resnet_cluster.errors import UsageError
    from resnet_cluster.results import EventLog, follow, last_attempt

    if (sweep := found_sweep(run)) is not None:
        stop_sweep(sweep, timeout)
        return
    with opened_store() as store:
        found = looked_up(store, run)
    if found.state.is_terminal:
        note(f"{found.name} ({found.run_id}) has ended already: {found.state}")
        return
    if not found.attempts:
        raise UsageError(
            f"{found.name} ({found.run_id}) has not begun",
            mend=f"remove it with `resnet-cluster rm {found.run_id}`",
        )
    RunFolder(found.run_dir).request_stop(last_attempt(EventLog(found.run_dir)))
    ended = follow(found.run_dir, deadline=time.monotonic() + timeout)
    note(f"{found.name} ({found.run_id}): {ended.state}")


def rm(
    run: RunArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a run: its events, checkpoints, weights and logs."""
    from resnet_cluster.errors import UsageError

    if (sweep := found_sweep(run)) is not None:
        if not yes and not _confirmed(f"Remove {sweep.name} ({sweep.sweep_id}), not its runs?"):
            raise UsageError(f"{sweep.name} is kept", mend="answer y, or give --yes")
        remove_sweep(sweep)
        return
    with opened_store() as store:
        found = looked_up(store, run)
        if not found.state.is_terminal and found.attempts:
            raise UsageError(
                f"{found.name} ({found.run_id}) is {found.state}",
                mend=f"stop it first with `resnet-cluster stop {found.name}`",
            )
        if not yes and not _confirmed(f"Remove {found.name} ({found.run_id}), {found.run_dir}?"):
            raise UsageError(f"{found.name} is kept", mend="answer y, or give --yes")
        remove_folder(found.run_dir)
        store.forget(found.run_id)
    note(f"removed {found.name} ({found.run_id})")


def _run_of_trial(store: ResultStore, reference: str, trial: str | None) -> str:
    """The run that is meant: that of a sweep's trial, where one is named."""
    from resnet_cluster.errors import UnknownRunError, UsageError
    from resnet_cluster.results import find_trial

    sweep = found_sweep(reference)
    if sweep is None and trial is None:
        return reference
    if sweep is None:
        raise UsageError(f"{reference} is no sweep, and has no trials", mend="leave --trial out")
    if trial is None:
        raise UsageError(
            f"{sweep.name} is a sweep of {counted(len(sweep.trials), 'trial')}",
            mend=f"say which with --trial K; `resnet-cluster status {sweep.name}` numbers them",
        )
    chosen = find_trial(sweep, trial)
    runs = store.by_key(chosen.key)
    if not runs:
        raise UnknownRunError(f"{chosen.name} has not begun", mend="wait until it has")
    return runs[-1].run_id


def _confirmed(question: str) -> bool:
    """Whether somebody is there and says yes."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


def _facts(run: RunSummary) -> dict[str, Any]:
    last = run.last_epoch
    return {
        "run_id": run.run_id,
        "name": run.name,
        "state": str(run.state),
        "key": run.key,
        "dataset": run.dataset.name,
        "epochs_done": run.epochs_done,
        "step": last.step if last else 0,
        "num_steps": run.record.num_steps,
        "top1_err": single_error(run),
        "attempts": len(run.attempts),
        "message": run.attempts[-1].message if run.attempts else "",
        "imported_from": run.record.imported.file if run.record.imported else None,
        "created_at": run.created_at.isoformat(),
        "folder": str(run.run_dir),
    }


def _checkpoint_step(run: RunSummary) -> int | None:
    """Step of the newest checkpoint, whether or not its content is still whole."""
    from resnet_cluster.checkpoints import CheckpointFolder

    return max(CheckpointFolder(run.run_dir).steps(), default=None)


_OF_TRAINING = (
    "epochs_done",
    "step",
    "num_steps",
    "attempts",
    "message",
    "checkpoint_step",
    "num_bad_samples",
)


def _applies(label: str, run: RunSummary) -> bool:
    """Whether a fact says anything: of weights that were trained elsewhere the training does not,
    and of our own no origin does."""
    if run.record.imported:
        return label not in _OF_TRAINING
    return label != "imported_from"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else str(value)


def _print_runs(runs: tuple[RunSummary, ...]) -> None:
    rows = []
    for run in runs:
        facts = _facts(run)
        error = facts["top1_err"]
        rows.append(
            (
                run.run_id,
                run.name,
                facts["state"],
                "imported"
                if facts["imported_from"]
                else f"{facts['step']:,} of {facts['num_steps']:,}",
                "" if error is None else f"{error:.2f} %",
                f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
            )
        )
    print_table(("id", "name", "state", "step", "test error", "begun"), rows)


def _print_files(folder: Path) -> None:
    for path in sorted(folder.glob("*.log")):
        if text := path.read_text(errors="replace").rstrip():
            typer.echo(f"\n== {path.name}")
            typer.echo("\n".join(printable(line) for line in text.splitlines()))
