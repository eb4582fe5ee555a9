"""`data parity`: does our path to a network lead where PIL and torchvision's transforms lead?"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, as_json, note, print_json, print_pairs
from resnet_cluster.cli.stores import looked_up, opened_store

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest
    from resnet_cluster.evaluation import Parity
    from resnet_cluster.results import ParityRecord, RunSummary


def parity(
    name: Annotated[str, typer.Argument(help="Name or folder of a prepared data set.")],
    run: Annotated[str, typer.Option(help="A run's id, the beginning of one, or its name.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Images at most, evenly over the test split.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Compare a run's network on our pixels and on PIL's and torchvision's; store what differs."""
    from resnet_cluster.data import check_dataset, load_manifest
    from resnet_cluster.results import EventLog

    with opened_store() as store:
        found = looked_up(store, run)
    manifest = load_manifest(name)
    _check_fits(found, manifest)
    check_dataset(manifest.folder)
    record = _record(manifest, _measured(found, manifest, limit))
    if not EventLog(found.run_dir).record(record):
        note(f"{found.name} has a comparison of these images already, which stays as it is")
    if output is Output.json:
        print_json(as_json(record))
    else:
        print_pairs(_rows(record))


def _check_fits(run: RunSummary, manifest: Manifest) -> None:
    from resnet_cluster.errors import RunNotFinishedError, UsageError

    if not any(artefact.name == "weights" for artefact in run.artefacts):
        raise RunNotFinishedError(
            f"{run.name} ({run.run_id}) is {run.state} and has no weights yet",
            mend=f"finish it with `resnet-cluster resume {run.name}`",
        )
    if len(manifest.classes) != run.dataset.num_classes:
        raise UsageError(
            f"{manifest.name} has {len(manifest.classes)} classes, and {run.name} was trained on "
            f"{run.dataset.num_classes}",
            mend=f"name the data set {run.dataset.name}, or another form of it",
        )
    if manifest.image_size is None and run.job.data.view is None:
        raise UsageError(
            f"{manifest.name} holds images of many sizes, and the job of {run.name} has no "
            "data.view, which says what is seen of them",
            mend=f"name the data set {run.dataset.name}",
        )


def _measured(run: RunSummary, manifest: Manifest, limit: int | None) -> Parity:
    import torch

    from resnet_cluster.checkpoints import load_weights
    from resnet_cluster.cli.display import preparing
    from resnet_cluster.data import Progress
    from resnet_cluster.training.parity import measure_parity

    weights = next(artefact for artefact in run.artefacts if artefact.name == "weights")
    began = time.monotonic()
    with preparing() as show:
        return measure_parity(
            run.job,
            manifest,
            load_weights(run.run_dir / weights.path, sha256=weights.sha256),
            limit=limit,
            device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            num_threads=len(os.sched_getaffinity(0)),
            on_progress=lambda done, total: show(
                Progress("comparing", done, total, time.monotonic() - began, manifest.name)
            ),
        )


def _record(manifest: Manifest, measured: Parity) -> ParityRecord:
    from resnet_cluster.data import best_engine
    from resnet_cluster.results import ParityRecord
    from resnet_cluster.results.provenance import versions
    from resnet_cluster.spec import PIXELS_VERSION

    return ParityRecord(
        dataset_name=manifest.name,
        dataset_sha256=manifest.sha256,
        pixels=f"{PIXELS_VERSION}, {best_engine()}",
        versions=versions(),
        **asdict(measured),
    )


def _rows(record: ParityRecord) -> list[tuple[str, str]]:
    difference = record.top1_err - record.reference_top1_err
    return [
        ("images", f"{record.num_images:,} of {record.dataset_name}"),
        ("pixels", f"{record.pixel_difference:.4f} grey levels apart on average"),
        (
            "logits",
            f"{record.logit_difference:.3g} apart on average, {record.max_logit_difference:.3g} at "
            "most",
        ),
        ("alike", f"{record.agreement:.2f} % of the predictions"),
        (
            "top-1 error",
            f"{record.top1_err:.2f} %; by PIL and torchvision {record.reference_top1_err:.2f} % "
            f"({difference:+.2f})",
        ),
    ]
