"""`evaluate`: the weights of finished runs under a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, as_json, note, print_json
from resnet_cluster.cli.protocols import (
    AverageOption,
    ProtocolOption,
    RunsArgument,
    ScalesOption,
    ViewOption,
    choices,
    own_dataset,
)
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.cli.submit import AddressOption
from resnet_cluster.cli.weights import (
    counting,
    own_context,
    read_weights,
    weights_file,
    weights_step,
)

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest
    from resnet_cluster.evaluation import Contents
    from resnet_cluster.results import EvaluationRecord, RunSummary
    from resnet_cluster.spec import EvaluateSpec, JobSpec, Protocol


def evaluate(
    runs: RunsArgument,
    protocol: ProtocolOption,
    scales: ScalesOption = None,
    view: ViewOption = None,
    average: AverageOption = None,
    predictions_gb: Annotated[
        float | None,
        typer.Option(min=0, help="GB of each run's storage for predictions; the job's otherwise."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes on a Ray cluster, one for each GPU; without one here."),
    ] = None,
    address: AddressOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Measure the weights of finished runs on their test split, and store the errors."""
    with opened_store() as store:
        found = [looked_up(store, run) for run in runs]
    # All are looked at before the first is measured: what is refused changes nothing.
    chosen = [choices(run, protocol, scales, view, average) for run in found]
    asked = [_asked(*each, predictions_gb) for each in zip(found, chosen, strict=True)]
    where = _Where(workers or 1, address) if workers or address else None
    for each in asked:
        _print(each.run, _evaluated(each, where), output)


@dataclass(frozen=True)
class _Where:
    """Ray workers that measure."""

    workers: int
    address: str | None


@dataclass(frozen=True)
class _Asked:
    """A run and how it is to be measured."""

    run: RunSummary
    job: JobSpec
    """The run's, with the one protocol that is asked for."""
    manifest: Manifest
    protocol: Protocol

    @property
    def step(self) -> int:
        """Of the run's weights."""
        return weights_step(self.run)


def _asked(run: RunSummary, chosen: EvaluateSpec, predictions_gb: float | None) -> _Asked:
    from resnet_cluster.spec import protocols

    weights_file(run)
    manifest = own_dataset(run)
    if predictions_gb is not None:
        chosen = chosen.model_copy(update={"predictions_gb": predictions_gb})
    job = run.job.model_copy(update={"evaluate": chosen})
    (protocol,) = protocols(job, manifest.image_size)
    return _Asked(run, job, manifest, protocol)


def _evaluated(asked: _Asked, where: _Where | None) -> EvaluationRecord:
    """The figure: the one that there is, or a new one."""
    from resnet_cluster.results import EvaluationRecord, EventLog

    run, log = asked.run, EventLog(asked.run.run_dir)
    # Of the events, not the store: a run may be named twice, or measured elsewhere meanwhile.
    name = EvaluationRecord.name_of(asked.protocol.identity, "test", run.job.evaluate.select)
    is_known = name in log.names()
    if is_known and not _wants_predictions(asked):
        note(f"{run.name} ({run.run_id}) has been measured so before")
    else:
        if is_known:
            note(f"{run.name} has this figure, which stays; its predictions are made anew")
        _measure(asked, where)
    record = log.load(name)
    assert isinstance(record, EvaluationRecord)
    return record


def _wants_predictions(asked: _Asked) -> bool:
    """Whether the run lacks predictions that it has room for."""
    from resnet_cluster.evaluation import read_contents
    from resnet_cluster.training.predictions import shelf_of

    shelf, contents = shelf_of(asked.job, own_context(asked.run)), _contents(asked)
    return read_contents(shelf.folder(contents)) is None and not shelf.refusal(contents)


def _contents(asked: _Asked) -> Contents:
    from resnet_cluster.evaluation import Contents

    return Contents(
        protocol=asked.protocol.identity,
        split="test",
        select=asked.job.evaluate.select,
        step=asked.step,
        dataset_sha256=asked.manifest.sha256,
        num_images=asked.manifest.test.num_images,
        num_views=asked.protocol.num_views,
        num_classes=len(asked.manifest.classes),
    )


def _measure(asked: _Asked, where: _Where | None) -> None:
    """Measure, and record the figure."""
    num_images = asked.manifest.test.num_images
    side, scales = asked.manifest.image_size, asked.job.evaluate.scales
    if "multi-scale" in asked.job.evaluate.protocols and side and min(scales) > 2 * side:
        note(
            f"warning: images of {side}x{side} are enlarged to {scales[0]} pixels and more, which "
            f"takes long: --scales {side},{side * 5 // 4} would name sizes near theirs"
        )
    note(f"measuring {asked.run.name} on {num_images:,} images: {asked.protocol.identity}")
    not_kept = _measure_here(asked) if where is None else _measure_on_workers(asked, where)
    if not_kept:
        note(f"its predictions are not kept: {not_kept}")


def _measure_here(asked: _Asked) -> str:
    from resnet_cluster.cluster.records import evaluation_record
    from resnet_cluster.results import EventLog
    from resnet_cluster.training.measure import measure

    with counting("views", asked.run.name) as on_progress:
        measured = measure(
            asked.job,
            asked.manifest,
            read_weights(asked.run),
            asked.protocol,
            own_context(asked.run),
            step=asked.step,
            on_progress=on_progress,
        )
    EventLog(asked.run.run_dir).record(evaluation_record(measured.result))
    return measured.not_kept


def _measure_on_workers(asked: _Asked, where: _Where) -> str:
    from resnet_cluster.cluster.measuring import Measurement, measure_on_workers

    weights = weights_file(asked.run)
    resources = asked.job.resources.model_copy(update={"workers": where.workers})
    return measure_on_workers(
        Measurement(
            job=asked.job.model_copy(update={"resources": resources}),
            run_dir=asked.run.run_dir,
            dataset_folder=asked.manifest.folder,
            weights=asked.run.run_dir / weights.path,
            weights_sha256=weights.sha256,
            step=asked.step,
            address=where.address,
        ),
        lambda err: counting("views on one worker", asked.run.name, err=err),
    )


def _print(run: RunSummary, record: EvaluationRecord, output: Output) -> None:
    from resnet_cluster.cli.display import describe

    if output is Output.json:
        print_json({"run_id": run.run_id, "name": run.name} | as_json(record))
    else:
        typer.echo(f"{run.name}  {describe(record)}")
