"""What the commands on runs share: the store, a run by its reference, the exit code of an end."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from resnet_cluster.cli.output import note
from resnet_cluster.errors import (
    BudgetReachedError,
    PreflightError,
    ResnetClusterError,
    RunCancelledError,
    RunDivergedError,
    RunFailedError,
    RunLostError,
    UnknownRunError,
    UsageError,
)

if TYPE_CHECKING:
    from resnet_cluster.results import AttemptEnded, ResultStore, RunSummary


@contextlib.contextmanager
def opened_store() -> Iterator[ResultStore]:
    """The user's result store, with every event that there is."""
    from resnet_cluster.home import runs_root, store_url
    from resnet_cluster.results import ResultStore

    with ResultStore.open(store_url(), runs_root=runs_root()) as store:
        for warning in store.ingest():
            note(f"warning: {warning}")
        yield store


def looked_up(store: ResultStore, reference: str) -> RunSummary:
    """The run of an id, a prefix or a name, as it is now: LOST where its owner is gone.

    Raises:
        UnknownRunError: there is none.
        UsageError: several ids begin so.
    """
    try:
        run = store.run(reference)
    except UnknownRunError:
        _refuse_sweep(reference)
        raise
    if is_newly_lost(run):
        store.ingest()
        return store.run(run.run_id)
    return run


def _refuse_sweep(reference: str) -> None:
    from resnet_cluster.home import runs_root
    from resnet_cluster.results import find_sweep

    if (sweep := find_sweep(runs_root(), reference)) is not None:
        raise UsageError(
            f"{reference} is a sweep, and no run",
            mend=f"name a trial's run, which `resnet-cluster status {sweep.name}` lists; a sweep "
            "goes on by the `ablate` command that it began with",
        )


def is_newly_lost(run: RunSummary) -> bool:
    """Whether its owner is found to be gone, and that could be recorded."""
    from resnet_cluster.results import note_lost_owner

    try:
        return note_lost_owner(run.run_dir)
    except OSError:  # a storage that may only be read here
        return False


def remove_folder(run_dir: Path) -> None:
    """Remove a run's folder; one that is gone from a storage that is there is no error.

    Raises:
        PreflightError: it cannot be removed.
    """
    try:
        shutil.rmtree(run_dir)
    except OSError as error:
        # A server's database keeps runs whose folders somebody has removed.
        if run_dir.parent.is_dir() and not run_dir.exists():
            return
        raise PreflightError(
            f"{error.filename}: {error.strerror}",
            mend="see that the storage of the run is there and can be written",
        ) from error


def leave(ended: AttemptEnded, signal: int | None = None) -> NoReturn:
    """Exit as a run's end asks for; where a signal to this process was its cause, with that."""
    from resnet_cluster.results import RunState

    kinds: dict[RunState, type[ResnetClusterError]] = {
        RunState.FAILED: RunFailedError,
        RunState.CANCELLED: RunCancelledError,
        RunState.DIVERGED: RunDivergedError,
        RunState.LOST: RunLostError,
    }
    if ended.state not in kinds:
        raise typer.Exit(0)
    if ended.is_over_budget:
        raise typer.Exit(BudgetReachedError.exit_code)
    if signal and ended.state is RunState.CANCELLED:
        raise typer.Exit(128 + signal)
    raise typer.Exit(kinds[ended.state].exit_code)
