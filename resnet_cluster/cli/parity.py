"""`data parity`: does our path to a network lead where PIL and torchvision's transforms lead?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, as_json, note, print_json, print_pairs
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.cli.weights import (
    counting,
    own_context,
    read_weights,
    weights_file,
)

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

    with opened_store() as store:
        found = looked_up(store, run)
    manifest = load_manifest(name)
    _check_fits(found, manifest)
    check_dataset(manifest.folder)
    record = _compared(found, manifest, limit)
    if output is Output.json:
        print_json(as_json(record))
    else:
        print_pairs(_rows(record))


def _check_fits(run: RunSummary, manifest: Manifest) -> None:
    from resnet_cluster.errors import UsageError

    weights_file(run)
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


def _compared(run: RunSummary, manifest: Manifest, limit: int | None) -> ParityRecord:
    """The comparison: the one that there is, or a new one."""
    from resnet_cluster.results import EventLog, ParityRecord

    log = EventLog(run.run_dir)
    num_images = min(limit or manifest.test.num_images, manifest.test.num_images)
    name = ParityRecord.name_of(manifest.sha256, num_images)
    if name in log.names():
        note(f"{run.name} has a comparison of these images already, which stays as it is")
    else:
        log.record(_record(manifest, _measured(run, manifest, limit)))
    record = log.load(name)
    assert isinstance(record, ParityRecord)
    return record


def _measured(run: RunSummary, manifest: Manifest, limit: int | None) -> Parity:
    from resnet_cluster.training.parity import measure_parity

    with counting("comparing", manifest.name) as on_progress:
        return measure_parity(
            run.job,
            manifest,
            read_weights(run),
            own_context(run),
            limit=limit,
            on_progress=on_progress,
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
