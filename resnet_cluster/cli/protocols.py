"""How a protocol is asked for on the command line, of runs that have ended."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest
    from resnet_cluster.results import RunSummary
    from resnet_cluster.spec import Average, EvaluateSpec, Protocol


class ProtocolName(StrEnum):
    """Protocols; named here too, so that `--help` imports nothing."""

    single = "single"
    flip = "flip"
    centre = "centre"
    ten_crop = "ten-crop"
    multi_scale = "multi-scale"


class AverageName(StrEnum):
    """What is averaged over the views of an image."""

    softmax = "softmax"
    logits = "logits"


RunsArgument = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Ids, beginnings of them, or names.")
]
ProtocolOption = Annotated[ProtocolName, typer.Option(help="The views of an image.")]
ScalesOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="Shorter sides of multi-scale, in pixels."),
]
ViewOption = Annotated[
    str | None,
    typer.Option(metavar="RESIZE,SIZE", help="View of centre: the shorter side, and what is kept."),
]
AverageOption = Annotated[AverageName | None, typer.Option(help="What is averaged over the views.")]


def choices(
    run: RunSummary,
    protocol: ProtocolName,
    scales: str | None,
    view: str | None,
    average: AverageName | None,
) -> EvaluateSpec:
    """What the run's job says of protocols, changed by the options; it names the one protocol.

    Raises:
        UsageError: the scales or the view are none, or belong to another protocol.
    """
    from pydantic import ValidationError

    from resnet_cluster.errors import UsageError
    from resnet_cluster.spec import EvaluateSpec

    if scales is not None and protocol is not ProtocolName.multi_scale:
        raise UsageError(
            f"--scales says nothing to --protocol {protocol}", mend="add --protocol multi-scale"
        )
    if (view is not None) != (protocol is ProtocolName.centre):
        raise UsageError(
            "--view RESIZE,SIZE and --protocol centre belong together",
            mend="give both, such as --protocol centre --view 329,288",
        )
    given = run.job.evaluate.model_dump() | {"protocols": [protocol.value]}
    if average is not None:
        given["average"] = average.value
    try:
        if scales is not None:
            given["scales"] = [int(scale) for scale in scales.split(",")]
        if view is not None:
            resize, size = view.split(",")
            given["centre"] = {"resize": int(resize), "size": int(size)}
        return EvaluateSpec.model_validate(given)
    except (ValueError, ValidationError):
        if view is not None:
            message = f"--view {view} is no view"
            mend = "give two whole numbers from 8 to 4096, the first the larger, such as 329,288"
        else:
            message = f"--scales {scales} is not a list of rising sizes"
            mend = "give 1 to 8 whole numbers from 8 to 4096, such as 224,256,384"
        raise UsageError(message, mend=mend) from None


def one_protocol(
    runs: Sequence[RunSummary], chosen: Sequence[EvaluateSpec], kind: ProtocolName
) -> tuple[str, Average]:
    """The identity of the protocol of all, and what is averaged.

    Raises:
        UsageError: their jobs make different protocols of the same word.
    """
    from resnet_cluster.errors import UsageError

    identities = {
        _built(run, evaluate).identity: run.name for run, evaluate in zip(runs, chosen, strict=True)
    }
    averages = {evaluate.average for evaluate in chosen}
    if len(identities) > 1 or len(averages) > 1:
        ours = ", ".join(f"{identity} for {name}" for identity, name in identities.items())
        raise UsageError(
            f"the jobs of these runs mean different things by {kind}: {ours}",
            mend="name what is averaged with --average, and the scales with --scales; the size of "
            "the views is that of the training",
        )
    (identity,), (average,) = identities, averages
    return identity, average


def _built(run: RunSummary, evaluate: EvaluateSpec) -> Protocol:
    from resnet_cluster.spec import protocols

    job = run.job.model_copy(update={"evaluate": evaluate})
    (protocol,) = protocols(job, None if run.job.data.view else run.dataset.image_size)
    return protocol


def options_text(
    protocol: ProtocolName, scales: str | None, view: str | None, average: AverageName | None
) -> str:
    """The same of `evaluate`."""
    words = ["--protocol", protocol]
    words += ["--scales", scales] if scales else []
    words += ["--view", view] if view else []
    words += ["--average", average] if average else []
    return shlex.join(words)


def own_dataset(run: RunSummary) -> Manifest:
    """The data set that a run was trained on, whole.

    Raises:
        PreflightError: it is not prepared.
        IntegrityError: it is another one now, or its files were changed.
    """
    from resnet_cluster.data import check_dataset, load_manifest
    from resnet_cluster.errors import IntegrityError

    manifest = load_manifest(run.job.data.name)
    if manifest.sha256 != run.dataset.sha256:
        raise IntegrityError(
            f"the data set {manifest.name!r} is not the one that {run.name} was trained on",
            mend="prepare that one again under the same name",
        )
    check_dataset(manifest.folder)
    return manifest
