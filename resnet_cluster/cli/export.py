"""`export`: a finished run's weights in a file for others, checked to give the same outputs."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, note, print_json
from resnet_cluster.cli.protocols import own_dataset
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.cli.weights import read_weights, weights_step
from resnet_cluster.errors import IntegrityError, PreflightError, UsageError

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest
    from resnet_cluster.exchange import Check, Exported, Preparation
    from resnet_cluster.results import RunSummary


class ExportFormat(StrEnum):
    """Kinds of files; named here too, so that `--help` imports nothing."""

    torchvision = "torchvision"
    safetensors = "safetensors"
    onnx = "onnx"


_SUFFIXES = {"torchvision": "pth", "safetensors": "safetensors", "onnx": "onnx"}


def export(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of one, or its name.")],
    to: Annotated[
        ExportFormat,
        typer.Option(
            help="torchvision: a state dict for its own class. safetensors: any network, with "
            "what is needed to use it. onnx: any network, for images of any size."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file; the run's name in this folder otherwise.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Write a finished run's weights for other tools, checked to give the same outputs."""
    with opened_store() as store:
        found = looked_up(store, run)
    path = out or Path(f"{found.name}.{_SUFFIXES[to]}")
    write = _writer(to, found)
    if path.exists() and not path.is_file():
        what = "is a folder" if path.is_dir() else "is no plain file"
        raise UsageError(f"{path}: {what}", mend="name another with --out")
    exported = _exported(found, _mean_path(path).name)
    try:
        check = _written(path, exported, write)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # the path is as good as any
        raise UsageError(f"{path}: {error.strerror}", mend="name another file") from error
    _say(path, exported.preparation, check)
    _print(path, found, to, exported.preparation, check, output)


def _writer(to: ExportFormat, run: RunSummary) -> Callable[[Path, Exported], Check]:
    """What writes and checks such a file; a run that has none is refused before any work."""
    from resnet_cluster import exchange

    match to:
        case ExportFormat.torchvision:
            exchange.check_torchvision_has(run.job.model)
            return exchange.write_torchvision
        case ExportFormat.onnx:
            exchange.check_onnx_is_there()
            return exchange.write_onnx
        case ExportFormat.safetensors:
            return exchange.write_safetensors


def _exported(run: RunSummary, mean_file: str) -> Exported:
    from resnet_cluster.cluster.run_folder import RunFolder
    from resnet_cluster.exchange import Exported
    from resnet_cluster.nets import offer_code

    offer_code(RunFolder(run.run_dir).code)
    weights = read_weights(run)
    manifest = _dataset(run)
    preparation = _preparation(run, manifest)
    return Exported(
        model=run.job.model,
        num_classes=run.dataset.num_classes,
        weights=weights,
        preparation=preparation,
        metadata=_metadata(run, manifest, preparation, mean_file),
    )


def _dataset(run: RunSummary) -> Manifest | None:
    """The run's data set; None where it is not here, and no number of it is needed."""
    try:
        return own_dataset(run)
    except (PreflightError, IntegrityError) as error:
        if run.job.data.normalize != "torchvision":
            raise
        note(f"warning: {error.message}: the file will not have the names of the classes")
        return None


def _preparation(run: RunSummary, manifest: Manifest | None) -> Preparation:
    from resnet_cluster.exchange import Preparation
    from resnet_cluster.training.measure import run_statistics
    from resnet_cluster.training.pixels import normalization

    kind = run.job.data.normalize
    needs_images = manifest is not None and kind != "torchvision"
    statistics = run_statistics(run.job, manifest) if manifest and needs_images else None
    chosen = normalization(kind, statistics)
    return Preparation(
        data=run.job.data,
        image_size=run.dataset.image_size,
        channel_mean=chosen.channel_mean,
        channel_std=chosen.channel_std,
        pixel_mean=chosen.pixel_mean,
    )


def _metadata(
    run: RunSummary, manifest: Manifest | None, preparation: Preparation, mean_file: str
) -> dict[str, str]:
    """What is said of the weights, as texts: JSON where they have parts."""
    from resnet_cluster.exchange import DATASET_KEY, JOB_KEY

    values = {
        "run_id": run.run_id,
        "name": run.name,
        "dataset": run.dataset.name,
        "num_classes": run.dataset.num_classes,
        "classes": list(manifest.classes) if manifest else None,
        "step": weights_step(run),
        "select": run.job.evaluate.select,
        "ema": run.job.train.ema is not None,
        "preparation": preparation.as_json(_named(preparation, mean_file)),
        "imported": run.record.imported and run.record.imported.model_dump(mode="json"),
        "git_commit": run.record.git_commit,
    }
    texts = {f"resnet_cluster.{key}": _text(value) for key, value in values.items()}
    own = {JOB_KEY: run.job.model_dump_json(), DATASET_KEY: run.dataset.sha256}
    return texts | own | {"format": "pt"}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _mean_path(path: Path) -> Path:
    """Where the mean image goes, of a run that subtracts one."""
    return path.with_name(f"{path.name}.mean.npy")


def _named(preparation: Preparation, mean_file: str) -> str:
    return "" if preparation.mean_image is None else mean_file


def _written(path: Path, exported: Exported, write: Callable[[Path, Exported], Check]) -> Check:
    """The file, and beside it the mean image if there is one: whole and checked, or not at all."""
    import numpy as np

    from resnet_cluster.files import replaced

    mean = exported.preparation.mean_image
    with ExitStack() as stack:
        part = stack.enter_context(replaced(path))
        check = write(part, exported)
        _check_free(path, part)
        if mean is not None:
            content = io.BytesIO()
            np.save(content, mean)
            mean_part = stack.enter_context(replaced(_mean_path(path)))
            mean_part.write_bytes(content.getvalue())
            _check_free(_mean_path(path), mean_part)
        return check


def _check_free(path: Path, part: Path) -> None:
    """Refuse to replace a file of other content, which may be somebody's only copy."""
    from resnet_cluster.files import sha256_of

    if path.exists() and sha256_of(path) != sha256_of(part):
        raise UsageError(
            f"{path}: is there already, with other content", mend="name another file with --out"
        )


def _say(path: Path, preparation: Preparation, check: Check) -> None:
    sizes = " and ".join(f"{number} of {high}x{wide}" for number, _, high, wide in check.shapes)
    outcome = "are the same to the last bit"
    if check.tolerance:
        outcome = f"differ by {check.largest_difference:.1e} of the largest at most"
        outcome += f" ({check.tolerance:.0e} is allowed)"
    note(f"wrote {path}")
    note(
        f"checked: on random images, {sizes}, the outputs of the run's network and of "
        f"{check.against} {outcome}"
    )
    mean_file = _named(preparation, _mean_path(path).name)
    note(f"its images: {preparation.in_words(mean_file)}")


def _print(
    path: Path,
    run: RunSummary,
    to: ExportFormat,
    preparation: Preparation,
    check: Check,
    output: Output,
) -> None:
    from resnet_cluster.files import sha256_of

    if output is Output.table:
        typer.echo(path)
        return
    mean_file = _named(preparation, _mean_path(path).name)
    print_json(
        {
            "run_id": run.run_id,
            "name": run.name,
            "format": to.value,
            "path": str(path),
            "sha256": sha256_of(path),
            "num_bytes": path.stat().st_size,
            "preparation": preparation.as_json(mean_file),
            "check": asdict(check),
        }
    )
