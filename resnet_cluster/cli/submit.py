"""`submit` and `resume`: run a job, or go on with one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from resnet_cluster.cli.output import Output, OutputOption, note, print_json, print_pairs
from resnet_cluster.cli.stores import leave, looked_up, opened_store
from resnet_cluster.errors import IntegrityError, RunDivergedError, RunTakenError

if TYPE_CHECKING:
    from resnet_cluster.cluster.driver import Tell
    from resnet_cluster.cluster.launch import Launched
    from resnet_cluster.cluster.submission import Claim, FoundRun, PlannedJob
    from resnet_cluster.results import AttemptEnded, ResultStore, RunSummary

AddressOption = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of a running Ray cluster; RAY_ADDRESS, or an embedded one, else."),
]
DetachOption = Annotated[
    bool,
    typer.Option("--detach", "-d", help="Leave the run to the cluster and come back at once."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Training processes, one for each GPU.")
]


def submit(
    job: Annotated[Path, typer.Argument(help="The job file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as train.lr=0.2."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Name or folder of the data set.")] = None,
    workers: WorkersOption = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order, augmentation.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would do.")] = False,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run the experiment again although it has a run.")
    ] = False,
    address: AddressOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Train what a job file describes; the same job again goes on with its run."""
    from resnet_cluster.cluster.submission import find, plan_job
    from resnet_cluster.spec import load_job

    loaded = load_job(
        job, overrides=overrides or (), name=name, seed=seed, workers=workers, data=data
    )
    planned = plan_job(loaded)
    _warn_of_slow_crops(planned)
    if dry_run:
        _print_plan(planned, _existing(planned, rerun=rerun), output)
        return
    with opened_store() as store:
        existing = find(planned, store, rerun=rerun)
        if existing is not None and name not in (None, existing.name):
            note(f"--name {name} is not needed: this experiment is {existing.name}")
        how = How(address=address, detach=detach, rerun=rerun, output=output)
        _run(planned, existing, store, how)


def _warn_of_slow_crops(planned: PlannedJob) -> None:
    from resnet_cluster.data import best_engine

    if planned.job.data.cuts and best_engine() == "pil":
        note(
            "warning: PIL cuts the images, half as fast or less than the extension in C, which was "
            "not built: install libjpeg-turbo's headers (libjpeg-dev), then resnet-cluster again"
        )


def resume(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of one, or its name.")],
    workers: WorkersOption = None,
    address: AddressOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Go on with a run from its newest checkpoint."""
    from resnet_cluster.cluster.run_folder import RunFolder
    from resnet_cluster.cluster.submission import plan_job
    from resnet_cluster.nets import offer_code
    from resnet_cluster.results import RunState
    from resnet_cluster.spec import JobSource, LoadedJob

    with opened_store() as store:
        found = looked_up(store, run)
        if found.state is RunState.SUCCEEDED:
            imported = found.record.imported
            _say_succeeded(
                found,
                f"was imported from {imported.file}: there is no training to go on with"
                if imported
                else "has succeeded already",
            )
            print_run(found, output)
            return
        job = found.job
        if workers is not None:
            resources = job.resources.model_copy(update={"workers": workers})
            job = job.model_copy(update={"resources": resources})
        offer_code(RunFolder(found.run_dir).code)
        planned = plan_job(LoadedJob(job, JobSource()))
        _check_same_experiment(planned, found)
        _run(planned, found, store, How(address=address, detach=detach, output=output))


@dataclass(frozen=True, kw_only=True)
class How:
    """How a run is to be run and shown."""

    address: str | None
    detach: bool
    output: Output
    rerun: bool = False


def _run(planned: PlannedJob, existing: RunSummary | None, store: ResultStore, how: How) -> None:
    """Come back at once where the run is done, follow it where it is driven, else drive it."""
    from resnet_cluster.results import RunState

    if existing is not None and existing.state is RunState.SUCCEEDED:
        _say_succeeded(existing, "is this experiment and has succeeded already")
        print_run(existing, how.output)
        return
    if existing is not None and existing.state is RunState.DIVERGED:
        raise RunDivergedError(
            f"{existing.name} ({existing.run_id}) is this experiment, and diverged",
            mend="lower the learning rate, change --seed, or run it again with --rerun",
        )
    if existing is not None and not existing.state.is_terminal and existing.attempts:
        _attach(existing, how)
    claim = _claim(planned, existing, store, how)
    if how.detach:
        _detach(planned, claim, store, how)
        return
    try:
        launched = _launch(planned, claim, how)
    except RunTakenError:
        run = claim().run
        note(f"another process drives {run.name}: following it; Ctrl-C leaves it running")
        _follow(run, how)
    store.ingest()
    _say_how_it_ended(launched.ended, launched.found.run)
    leave(launched.ended, launched.signal)


def _say_succeeded(run: RunSummary, what: str) -> None:
    """Say that nothing is to be done; and what is missing, where somebody has removed files."""
    note(f"{run.name} ({run.run_id}) {what}")
    for artefact in run.artefacts:
        if not (path := run.run_dir / artefact.path).is_file():
            mend = (
                "import it again once it is removed"
                if run.record.imported
                else ("--rerun trains it again")
            )
            note(f"warning: {path} is gone; its figures stand, and {mend}")


def _attach(run: RunSummary, how: How) -> NoReturn:
    """Follow a run that another process drives."""
    doing = "" if how.detach else ": following it; Ctrl-C leaves it running"
    note(f"{run.name} ({run.run_id}) is running already{doing}")
    print_run(run, how.output)
    if how.detach:
        raise typer.Exit
    _follow(run, how)


def _follow(run: RunSummary, how: How) -> NoReturn:
    """Show a run that another process drives until it ends, and exit as it ends."""
    from resnet_cluster.cli.display import training_display
    from resnet_cluster.results import follow

    with training_display(how.output, has_progress=False) as display:
        ended = follow(run.run_dir, tell=display.tell)
    _say_how_it_ended(ended, run)
    leave(ended)


def _detach(planned: PlannedJob, claim: Claim, store: ResultStore, how: How) -> None:
    """Leave a run to the cluster."""
    from resnet_cluster.cluster.connection import needed_address
    from resnet_cluster.cluster.detached import detach
    from resnet_cluster.home import runs_root

    address = needed_address(how.address)
    run_id = detach(planned, runs_root(), address, claim).run.run_id
    store.ingest()
    run = store.run(run_id)
    note(f"follow it with `resnet-cluster logs -f {run.name}`")
    print_run(run, how.output)


def _launch(planned: PlannedJob, claim: Claim, how: How) -> Launched:
    from resnet_cluster.cluster.launch import Launch, launch
    from resnet_cluster.home import runs_root

    return launch(
        planned,
        runs_root(),
        Launch(
            address=how.address,
            claim=claim,
            display=lambda found, out, err: _display(found, out, err, how.output),
        ),
    )


def _claim(planned: PlannedJob, existing: RunSummary | None, store: ResultStore, how: How) -> Claim:
    from resnet_cluster.cluster.submission import FoundRun, find_or_create
    from resnet_cluster.home import runs_root

    if existing is not None:
        # Not looked for by its key again: an experiment that was run twice has two.
        return lambda: FoundRun(run=existing, is_new=False)
    return lambda: find_or_create(planned, store, runs_root(), rerun=how.rerun)


@contextlib.contextmanager
def _display(found: FoundRun, out: TextIO, err: TextIO, output: Output) -> Iterator[Tell]:
    """The run's id on stdout, then a display; the process's own stdout belongs to Ray meanwhile."""
    from resnet_cluster.cli.display import training_display

    run = found.run
    verb = "goes on" if run.attempts else "begins"
    note(f"{run.name} ({run.run_id}) {verb}; its folder is {run.run_dir}", stream=err)
    note(
        "Ctrl-C once writes a checkpoint and ends the run as CANCELLED; "
        "the same command goes on with it",
        stream=err,
    )
    if output is Output.table:
        print(run.run_id, file=out, flush=True)
    with training_display(output, out=out, err=err) as display:
        if output is Output.json:
            display.tell(run.record)
        yield display.tell


def print_run(run: RunSummary, output: Output) -> None:
    """A run's id, which is what a script wants of it."""
    if output is Output.json:
        print_json({"run_id": run.run_id, "name": run.name, "state": run.state})
    else:
        typer.echo(run.run_id)


def _say_how_it_ended(ended: AttemptEnded, run: RunSummary) -> None:
    from resnet_cluster.results import RunState

    hints = {
        RunState.SUCCEEDED: "`resnet-cluster report` shows it beside the paper's figures",
        RunState.CANCELLED: f"`resnet-cluster resume {run.name}` goes on with it",
        RunState.FAILED: f"`resnet-cluster logs {run.name}` shows more; "
        f"`resnet-cluster resume {run.name}` goes on from its last checkpoint",
        RunState.DIVERGED: "lower the learning rate, or change --seed",
        RunState.LOST: f"`resnet-cluster resume {run.name}` goes on from its last checkpoint",
    }
    note(hints[ended.state])


def _check_same_experiment(planned: PlannedJob, found: RunSummary) -> None:
    if planned.plan.key != found.key:
        raise IntegrityError(
            f"the data set {found.dataset.name!r} is not the one that {found.name} began with",
            mend="prepare that one again under the same name, or submit a new run",
        )


def _existing(planned: PlannedJob, *, rerun: bool) -> RunSummary | None:
    """The run of the same experiment, where anything has ever run; a plan leaves nothing behind."""
    from resnet_cluster.cluster.submission import find
    from resnet_cluster.home import has_results

    if not has_results():
        return None
    with opened_store() as store:
        return find(planned, store, rerun=rerun)


def _print_plan(planned: PlannedJob, existing: RunSummary | None, output: Output) -> None:
    from resnet_cluster.planning import as_json, as_rows

    if output is Output.json:
        run = {"run_id": existing and existing.run_id, "state": existing and existing.state}
        print_json(as_json(planned.plan, planned.job) | run)
        return
    print_pairs(as_rows(planned.plan, planned.job))
    if existing is not None:
        note(f"{existing.name} ({existing.run_id}) is this experiment: {existing.state}")
