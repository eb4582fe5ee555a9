"""Weights that were trained elsewhere, as a run that has succeeded.

The run's folder is made under another name and renamed, so that it is whole or absent:

    <runs>/.importing/r-01234567/    while it is made
    <runs>/r-01234567/               events and weights.pt, as after a training
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from resnet_cluster.checkpoints import save_weights
from resnet_cluster.cluster.key_claim import alone
from resnet_cluster.cluster.submission import (
    FoundRun,
    PlannedJob,
    begin,
    find,
    own_manifest,
    run_record,
)
from resnet_cluster.data import Manifest
from resnet_cluster.exchange import ForeignWeights, fitted, weights_sha256
from resnet_cluster.files import sync
from resnet_cluster.nets import build_model
from resnet_cluster.planning import DataFacts, Plan, plan
from resnet_cluster.report import model_name
from resnet_cluster.results import (
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    EventLog,
    ImportedWeights,
    ResultStore,
    RunRecord,
    RunState,
    own_identity,
    own_name,
)
from resnet_cluster.spec import JobSource, JobSpec, LoadedJob, PaperNetSpec, imported_key
from resnet_cluster.spec.source import printable

STAGING = ".importing"
"""In the folder of runs; it has no events, so that nobody takes it for a run."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PlannedImport:
    """A job and the weights that fit it."""

    planned: PlannedJob
    weights: dict[str, Tensor]
    imported: ImportedWeights


def plan_import(loaded: LoadedJob, foreign: ForeignWeights) -> PlannedImport:
    """Look a job's data set up, and fit the weights to its network.

    Raises:
        PreflightError: the data set is not prepared.
        IntegrityError: its files are not what was prepared, or the weights do not fit.
        JobError: there is no such network, or the job does not say how the images are cut.
    """
    manifest = own_manifest(loaded)
    job = _as_measured(loaded.spec)
    drawn = _plan_without_recipe(job, manifest, loaded.source)
    weights = fitted(
        foreign,
        _empty_weights(job, drawn.num_classes),
        what=f"{model_name(job.model)} with {drawn.num_classes} classes ({manifest.name})",
    )
    digest = weights_sha256(weights)
    drawn = replace(drawn, key=imported_key(job, manifest.sha256, digest), num_steps=0)
    return PlannedImport(
        planned=PlannedJob(job=job, source=loaded.source, manifest=manifest, plan=drawn),
        weights=weights,
        imported=ImportedWeights(
            file=printable(foreign.path.name, limit=200),
            format=foreign.format,
            sha256=foreign.sha256,
            weights_sha256=digest,
        ),
    )


def find_or_import(asked: PlannedImport, store: ResultStore, runs_root: Path) -> FoundRun:
    """The run of the same weights on the same data, or a new one.

    Raises:
        UsageError: the name belongs to another run.
        OSError: the storage is full or cannot be written; nothing is left behind.
    """
    with alone(runs_root):
        if same := find(asked.planned, store, rerun=False):
            return FoundRun(run=same, is_new=False)
        record = run_record(asked.planned, asked.planned.job.name, asked.imported)
        staging = runs_root / STAGING
        shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
        try:
            _write(staging / record.run_id, record, asked)
            (staging / record.run_id).rename(runs_root / record.run_id)
            sync(runs_root)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        store.ingest()
        return FoundRun(run=store.run(record.run_id), is_new=True)


def _as_measured(job: JobSpec) -> JobSpec:
    """The job without what it says of weights that a training would have selected or averaged."""
    return job.model_copy(
        update={
            "train": job.train.model_copy(update={"ema": None}),
            "evaluate": job.evaluate.model_copy(update={"select": "final"}),
        }
    )


def _plan_without_recipe(job: JobSpec, manifest: Manifest, source: JobSource) -> Plan:
    """Of the recipe nothing is followed: it need not fit the number of images or of workers."""
    smallest = {"global_batch_size": 1, "bn_group": 1}
    any_recipe = job.model_copy(
        update={
            "train": job.train.model_copy(update=smallest),
            "resources": job.resources.model_copy(update={"workers": 1}),
        }
    )
    return plan(any_recipe, DataFacts.of(manifest), source=source)


def _empty_weights(job: JobSpec, num_classes: int) -> dict[str, Tensor]:
    """Names, shapes and types of a network's weights, on the meta device."""
    is_ours = isinstance(job.model, PaperNetSpec)  # others may need values
    with torch.device("meta") if is_ours else contextlib.nullcontext():
        return build_model(job.model, num_classes).state_dict()


def _write(run_dir: Path, record: RunRecord, asked: PlannedImport) -> None:
    """What a training leaves behind, but for epochs."""
    path = run_dir / "weights.pt"
    path.parent.mkdir(parents=True)
    sha256 = save_weights(path, asked.weights)
    num_bytes = path.stat().st_size
    message = f"imported from {asked.imported.file}; nothing was trained"
    begin(record, run_dir)
    log = EventLog(run_dir)
    for event in (
        AttemptStarted(attempt=1, owner=own_name(), identity=own_identity()),
        ArtefactRecord(name="weights", path=path.name, sha256=sha256, num_bytes=num_bytes),
        AttemptEnded(attempt=1, state=RunState.SUCCEEDED, message=message),
    ):
        log.record(event)
