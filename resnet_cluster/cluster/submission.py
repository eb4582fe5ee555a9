"""From a planned job to its run: the one there is, or a new one."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_cluster.cluster.capacity import cpus_per_worker, own_machine
from resnet_cluster.cluster.key_claim import alone, give_key
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.data import Manifest, check_dataset, load_manifest
from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.planning import DataFacts, Plan, plan
from resnet_cluster.results import (
    DatasetFacts,
    EventLog,
    ImportedWeights,
    ResultStore,
    RunRecord,
    RunState,
    RunSummary,
    named_sweep,
    note_lost_owner,
)
from resnet_cluster.results.provenance import command_line, git_commit, versions
from resnet_cluster.spec import (
    CustomNetSpec,
    JobSource,
    JobSpec,
    LoadedJob,
    find_code,
    load_resolved,
)


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job whose data is there and whose plan holds."""

    job: JobSpec
    source: JobSource
    """Where the job's values were said."""
    manifest: Manifest
    plan: Plan


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """The run of a job."""

    run: RunSummary
    is_new: bool


Claim = Callable[[], FoundRun]
"""Finds or creates the run of a job."""


def plan_job(loaded: LoadedJob) -> PlannedJob:
    """Look a job's data set up, check its files, and plan; a GPU counts where this machine has one.

    Raises:
        PreflightError: the data set is not prepared.
        IntegrityError: its files are not what was prepared.
        JobError: the job does not fit the data.
    """
    return plan_on(loaded, own_manifest(loaded))


def plan_on(loaded: LoadedJob, manifest: Manifest) -> PlannedJob:
    """The same of a data set that has been looked up.

    Raises:
        JobError: the job does not fit the data.
    """
    job, source = loaded
    machine = own_machine()
    planned = plan(
        job,
        DataFacts.of(manifest),
        source=source,
        has_gpu=machine.num_gpus > 0,
        cpus_per_worker=cpus_per_worker(job, machine),
    )
    return PlannedJob(job=job, source=source, manifest=manifest, plan=planned)


def own_manifest(loaded: LoadedJob) -> Manifest:
    """The data set that a job names, its files checked.

    Raises:
        PreflightError: it is not prepared.
        IntegrityError: its files are not what was prepared.
    """
    job, source = loaded
    try:
        manifest = load_manifest(job.data.name)
    except PreflightError as error:
        place = source.where(("data", "name"))
        message = f"{place}: {error.message}" if place else error.message
        raise PreflightError(message, mend=error.mend) from None
    check_dataset(manifest.folder)
    return manifest


def find_or_create(
    planned: PlannedJob, store: ResultStore, runs_root: Path, *, rerun: bool
) -> FoundRun:
    """The run of the same experiment, or a new one: the same key is not run twice unless asked.

    Args:
        planned: the job.
        store: the index of runs.
        runs_root: the folder of runs.
        rerun: make a new run even where the experiment has one.

    Raises:
        UsageError: the name belongs to another experiment.
    """
    with alone(runs_root):
        if same := find(planned, store, rerun=rerun):
            return FoundRun(run=same, is_new=False)
        record = run_record(planned, free_name(planned, store, is_numbered=rerun))
        begin(record, runs_root / record.run_id)
        store.ingest()
        return FoundRun(run=store.run(record.run_id), is_new=True)


def find(planned: PlannedJob, store: ResultStore, *, rerun: bool) -> RunSummary | None:
    """The run of the same experiment, as it is now; None where a new one is to be made.

    Raises:
        UsageError: the name belongs to another experiment.
    """
    store.ingest()
    if not rerun and (same := best_of(store.by_key(planned.plan.key))):
        return refreshed(same, store)
    free_name(planned, store, is_numbered=rerun)
    return None


def best_of(runs: tuple[RunSummary, ...]) -> RunSummary | None:
    """Of the runs of one experiment the one to go on with: done, else alive, else the newest."""

    def rank(run: RunSummary) -> tuple[bool, bool]:
        return run.state is RunState.SUCCEEDED, not run.state.is_terminal

    return max(reversed(runs), key=rank, default=None)


def refreshed(run: RunSummary, store: ResultStore) -> RunSummary:
    """The run as it is now: LOST where its owner is found to be gone."""
    if note_lost_owner(run.run_dir):
        store.ingest()
        return store.run(run.run_id)
    return run


def free_name(planned: PlannedJob, store: ResultStore, *, is_numbered: bool) -> str:
    """A name for a new run of a job: its own, or that with a number where it is taken.

    Raises:
        UsageError: it is taken, and is not to have a number.
    """
    name = planned.job.name
    if not is_numbered and (sweep := named_sweep(store.runs_root, name)):
        raise UsageError(
            f"the name {name!r} belongs to the sweep {sweep.sweep_id}",
            mend="give this run another with --name",
        )
    taken = store.by_name(name)
    if not taken:
        return name
    if not is_numbered:
        raise UsageError(
            f"the name {name!r} belongs to {taken[-1].run_id}, which is another experiment",
            mend="give this one its own with --name, also where only the seed differs",
        )
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(candidate for candidate in numbered if not store.by_name(candidate))


def run_record(
    planned: PlannedJob, name: str, imported: ImportedWeights | None = None
) -> RunRecord:
    """The first event of a new run.

    Args:
        planned: the job.
        name: the run's.
        imported: where its weights come from; None where it trains them.
    """
    job = planned.job.model_copy(update={"name": name})
    plan, manifest = planned.plan, planned.manifest
    return RunRecord(
        run_id=f"r-{secrets.token_hex(4)}",
        name=name,
        key=plan.key,
        job=job.model_dump(mode="json"),
        dataset=DatasetFacts(
            name=manifest.name,
            sha256=manifest.sha256,
            encoding=manifest.encoding,
            source=Path(manifest.source.description).name,
            num_classes=plan.num_classes,
            image_size=plan.image_size,
            num_train_images=plan.num_train_images,
            num_holdout_images=plan.num_holdout_images,
            num_test_images=plan.num_test_images,
        ),
        num_parameters=plan.num_parameters,
        flops=plan.flops,
        num_steps=plan.num_steps,
        steps_per_epoch=plan.steps_per_epoch,
        command=command_line(),
        git_commit=git_commit(),
        versions=versions(),
        imported=imported,
    )


def begin(record: RunRecord, run_dir: Path) -> None:
    """Write a run's first event, once the code of its network is kept, where that is the user's."""
    model = load_resolved(record.job).model
    if isinstance(model, CustomNetSpec):
        RunFolder(run_dir).keep_code(find_code(model.entry, sha256=model.source_sha256))
    EventLog(run_dir).record(record)
    if record.imported is None:
        give_key(run_dir.parent, record.key, record.run_id)
