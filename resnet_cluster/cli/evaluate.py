"""`evaluate`: the weights of finished runs under a protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, as_json, note, print_json
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.cli.weights import (
    counting,
    own_device,
    own_threads,
    read_weights,
    weights_file,
)

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest
    from resnet_cluster.evaluation import Score
    from resnet_cluster.results import EvaluationRecord, RunSummary
    from resnet_cluster.spec import EvaluateSpec, Protocol


class ProtocolName(StrEnum):
    """Protocols; named here too, so that `--help` imports nothing."""

    single = "single"
    ten_crop = "ten-crop"
    multi_scale = "multi-scale"


class AverageName(StrEnum):
    """What is averaged over the views of an image."""

    softmax = "softmax"
    logits = "logits"


def evaluate(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Ids, beginnings of them, or names.")
    ],
    protocol: Annotated[ProtocolName, typer.Option(help="The views of an image.")],
    scales: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Shorter sides of multi-scale, in pixels."),
    ] = None,
    average: Annotated[
        AverageName | None, typer.Option(help="What is averaged over the views.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Measure the weights of finished runs on their test split, and store the errors."""
    with opened_store() as store:
        found = [looked_up(store, run) for run in runs]
    # All are looked at before the first is measured: what is refused changes nothing.
    asked = [_asked(run, protocol, _choices(run, protocol, scales, average)) for run in found]
    for each in asked:
        _print(each.run, _evaluated(each), output)


@dataclass(frozen=True)
class _Asked:
    """A run and how it is to be measured."""

    run: RunSummary
    manifest: Manifest
    protocol: Protocol


def _asked(run: RunSummary, kind: ProtocolName, choices: EvaluateSpec) -> _Asked:
    from resnet_cluster.spec import build_protocol

    manifest = _dataset(run)
    return _Asked(run, manifest, build_protocol(kind.value, choices, run.job, manifest.image_size))


def _choices(
    run: RunSummary, protocol: ProtocolName, scales: str | None, average: AverageName | None
) -> EvaluateSpec:
    """What the run's job says of protocols, changed by the options."""
    from pydantic import ValidationError

    from resnet_cluster.errors import UsageError
    from resnet_cluster.spec import EvaluateSpec

    if scales is not None and protocol is not ProtocolName.multi_scale:
        raise UsageError(
            f"--scales says nothing to --protocol {protocol}", mend="add --protocol multi-scale"
        )
    given = run.job.evaluate.model_dump()
    if average is not None:
        given["average"] = average.value
    try:
        if scales is not None:
            given["scales"] = [int(scale) for scale in scales.split(",")]
        return EvaluateSpec.model_validate(given)
    except (ValueError, ValidationError):
        raise UsageError(
            f"--scales {scales} is not a list of rising sizes",
            mend="give 1 to 8 whole numbers from 8 to 4096, such as 224,256,384",
        ) from None


def _evaluated(asked: _Asked) -> EvaluationRecord:
    """The figure: the one that there is, or a new one."""
    from resnet_cluster.results import EvaluationRecord, EventLog

    run, log = asked.run, EventLog(asked.run.run_dir)
    # Of the events, not the store: a run may be named twice, or measured elsewhere meanwhile.
    name = EvaluationRecord.name_of(asked.protocol.identity, "test", run.job.evaluate.select)
    if name in log.names():
        note(f"{run.name} ({run.run_id}) has been measured so before")
    else:
        log.record(_record(run, asked.protocol, _measured(asked)))
    record = log.load(name)
    assert isinstance(record, EvaluationRecord)
    return record


def _dataset(run: RunSummary) -> Manifest:
    from resnet_cluster.data import check_dataset, load_manifest
    from resnet_cluster.errors import IntegrityError

    weights_file(run)
    manifest = load_manifest(run.job.data.name)
    if manifest.sha256 != run.dataset.sha256:
        raise IntegrityError(
            f"the data set {manifest.name!r} is not the one that {run.name} was trained on",
            mend="prepare that one again under the same name",
        )
    check_dataset(manifest.folder)
    return manifest


def _measured(asked: _Asked) -> Score:
    from resnet_cluster.training.measure import measure

    run, manifest = asked.run, asked.manifest
    note(f"measuring {run.name} on {manifest.test.num_images:,} images: {asked.protocol.identity}")
    with counting("views", run.name) as on_progress:
        return measure(
            run.job,
            manifest,
            read_weights(run),
            asked.protocol,
            device=own_device(),
            num_threads=own_threads(),
            on_progress=on_progress,
        )


def _record(run: RunSummary, protocol: Protocol, score: Score) -> EvaluationRecord:
    from resnet_cluster.results import Errors, EvaluationRecord

    steps = [evaluation.step for evaluation in run.evaluations]
    return EvaluationRecord(
        protocol=protocol.identity,
        split="test",
        select=run.job.evaluate.select,
        ema=run.job.train.ema is not None,
        step=steps[0] if steps else run.record.num_steps,
        errors=Errors(**asdict(score)),
    )


def _print(run: RunSummary, record: EvaluationRecord, output: Output) -> None:
    from resnet_cluster.cli.display import describe

    if output is Output.json:
        print_json({"run_id": run.run_id, "name": run.name} | as_json(record))
    else:
        typer.echo(f"{run.name}  {describe(record)}")
