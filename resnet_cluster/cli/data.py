"""`data`: prepare data sets and look at them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_cluster.cli.output import (
    SCHEMA_VERSION,
    Output,
    OutputOption,
    note,
    print_json,
    print_pairs,
    print_table,
)

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest, PreparationPlan
    from resnet_cluster.data.encoding import Encoding
    from resnet_cluster.data.verification import Fault

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

MAX_NAMED = 10
"""Bad images that are named on the terminal."""


class ImageMode(StrEnum):
    """Forms of images of many sizes; named here too, so that `--help` need not import PIL."""

    jpg = "jpg"
    raw = "raw"
    proportion = "proportion"


class BadImages(StrEnum):
    """What an image that cannot be kept does."""

    fail = "fail"
    skip = "skip"


@app.command()
def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder or a tar of <split>/<class>/<image>; ImageNet's archives or Kaggle's "
            "folder of them; WebDataset shards; parquet files; or digits, cifar10, cifar100, "
            "fashion_mnist."
        ),
    ],
    name: Annotated[str, typer.Option("--as", help="The name that jobs use.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the data set itself.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels to resize and crop images to: raw squares.")
    ] = None,
    mode: Annotated[
        ImageMode | None,
        typer.Option(help="Keep images of many sizes, as JPEG, raw, or a share of each."),
    ] = None,
    shorter_side: Annotated[
        int | None, typer.Option(help="Reduce images whose shorter side has more pixels.")
    ] = None,
    longer_side: Annotated[
        int | None, typer.Option(help="Reduce images whose longer side has more pixels.")
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Of JPEG that is made; 90 unless told."),
    ] = None,
    jpeg_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of JPEG in --mode proportion; 0.5 unless told."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Images of each split at most: for a trial.")
    ] = None,
    on_bad: Annotated[
        BadImages, typer.Option(help="What an image that cannot be kept does.")
    ] = BadImages.fail,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of a test split that the source lacks.")
    ] = 0,
    output: OutputOption = Output.table,
) -> None:
    """Convert images once to the form that training reads."""
    from resnet_cluster.cli.display import preparing
    from resnet_cluster.data import prepare as convert

    with preparing() as on_progress:
        prepared = convert(
            source,
            name=name,
            out=out,
            image_size=size,
            encoding=_encoding(mode, shorter_side, longer_side, quality, jpeg_share),
            seed=seed,
            limit=limit,
            on_bad=on_bad.value,
            on_plan=_announce,
            on_progress=on_progress,
        )
    if not prepared.is_new:
        note(f"{name} was prepared before from the same source; nothing was done")
    _say_what_is_odd(prepared.manifest)
    _show(prepared.manifest, output)


@app.command("list")
def list_datasets(output: OutputOption = Output.table) -> None:
    """List the data sets that are prepared."""
    from resnet_cluster import data

    manifests, broken = data.list_datasets()
    if output is Output.json:
        print_json([{"schema_version": SCHEMA_VERSION} | _facts(m) for m in manifests])
    elif manifests:
        _print_list(manifests)
    else:
        note("no data set is prepared; try `resnet-cluster data prepare digits --as digits`")
    for error in broken:
        note(f"warning: {error.message}\n  mend: {error.mend}")


def _print_list(manifests: list[Manifest]) -> None:
    rows = (
        (
            manifest.name,
            str(len(manifest.classes)),
            f"{manifest.train.num_images:,}",
            f"{manifest.test.num_images:,}",
            str(manifest.image_size or manifest.mode),
            manifest.encoding,
            f"{(manifest.train.num_bytes + manifest.test.num_bytes) / 1e6:,.0f}",
        )
        for manifest in manifests
    )
    print_table(("name", "classes", "training", "test", "side", "originals", "MB"), rows)


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A data set's name or folder.")],
    output: OutputOption = Output.table,
) -> None:
    """Show what a data set is."""
    from resnet_cluster.data import load_manifest

    _show(load_manifest(name), output)


def _encoding(
    mode: ImageMode | None,
    shorter_side: int | None,
    longer_side: int | None,
    quality: int | None,
    jpeg_share: float | None,
) -> Encoding | None:
    """The form of images of many sizes that the options ask for; None makes raw squares.

    Raises:
        UsageError: an option that says more of a form has none to go with.
    """
    from resnet_cluster.errors import UsageError

    details = {
        "shorter_side": shorter_side,
        "longer_side": longer_side,
        "quality": quality,
        "jpeg_share": jpeg_share,
    }
    given = {name: value for name, value in details.items() if value is not None}
    if mode is None and given:
        option = "--" + next(iter(given)).replace("_", "-")
        raise UsageError(
            f"{option} goes with --mode", mend="add --mode jpg, or give --size for raw squares"
        )
    if "jpeg_share" in given and mode is not ImageMode.proportion:
        raise UsageError("--jpeg-share goes with --mode proportion", mend="leave it out, or add it")
    if "quality" in given and mode is ImageMode.raw:
        raise UsageError("--quality does not go with --mode raw", mend="leave it out")
    if mode is None:
        return None
    from resnet_cluster.data.encoding import DEFAULT_JPEG_SHARE, DEFAULT_QUALITY, Encoding

    return Encoding(
        mode=mode.value,
        shorter_side=shorter_side,
        longer_side=longer_side,
        quality=quality or DEFAULT_QUALITY,
        jpeg_share=DEFAULT_JPEG_SHARE if jpeg_share is None else jpeg_share,
    )


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="A data set's name or folder, or a .beton file.")],
    output: OutputOption = Output.table,
) -> None:
    """Check every file and every image of a data set."""
    from resnet_cluster.cli.display import preparing
    from resnet_cluster.data.verify import verify as check
    from resnet_cluster.errors import IntegrityError

    faults: list[Fault] = []
    with preparing() as on_progress:
        num_faults = check(name, on_progress=on_progress, on_fault=faults.append)
    if output is Output.json:
        named = [{"path": f.path, "image": f.place, "what": f.what} for f in faults]
        print_json({"name": name, "num_faults": num_faults, "faults": named})
    for fault in faults[:MAX_NAMED]:
        note(fault.message)
    if faults:
        things = "1 thing is" if num_faults == 1 else f"{num_faults:,} things are"
        raise IntegrityError(f"{name}: {things} not as written", mend=faults[0].mend)
    if name.endswith(".beton"):
        note(f"{name}: every image can be decoded; without a manifest nobody knows what they were")
    else:
        note(f"{name}: every image is as it was written")


def _announce(plan: PreparationPlan) -> None:
    from resnet_cluster.cli.display import duration

    note(f"recognised: {plan.recognised}")
    time = "" if plan.duration_s is None else f", about {duration(plan.duration_s)}"
    note(
        f"{plan.num_train:,} training and {plan.num_test:,} test images of {plan.num_classes} "
        f"classes, {plan.form}: {plan.num_bytes / 1e6:,.0f} MB of "
        f"{plan.free_bytes / 1e9:,.0f} GB free{time}"
    )
    if plan.num_unseen_classes:
        note(f"{plan.num_unseen_classes:,} of the classes have no training image within --limit")
    if plan.test_split == "holdout":
        note("the source has no test split: one image in five is held out, by class and seed")
    if plan.num_ignored:
        note(f"{plan.num_ignored:,} files that are not images are left out")


def _say_what_is_odd(manifest: Manifest) -> None:
    """Name what was left out, and what was kept otherwise than it may be thought."""
    if manifest.num_bad:
        count = "1 image" if manifest.num_bad == 1 else f"{manifest.num_bad:,} images"
        note(f"{count} could not be kept, and left out:")
        for bad in manifest.bad[:MAX_NAMED]:
            note(f"  {bad.why}")
        if manifest.num_bad > MAX_NAMED:
            note(f"  and others, named in {manifest.folder / 'manifest.json'}")
    if manifest.num_rotated:
        note(
            f"{manifest.num_rotated:,} images have EXIF data that ask for a rotation: they are "
            "kept as they are stored, as torchvision's loader reads them"
        )


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "folder": str(manifest.folder),
        "sha256": manifest.sha256,
        "source": manifest.source.description,
        "encoding": manifest.encoding,
        "mode": manifest.mode,
        "image_size": manifest.image_size,
        "sizes": _sizes(manifest),
        "num_bad_images": manifest.num_bad,
        "num_rotated_images": manifest.num_rotated,
        "num_classes": len(manifest.classes),
        "num_train_images": manifest.train.num_images,
        "num_test_images": manifest.test.num_images,
        "test_split": manifest.test_split,
        "num_bytes": manifest.train.num_bytes + manifest.test.num_bytes,
        "channel_mean": list(manifest.channel_mean),
        "channel_std": list(manifest.channel_std),
    }


def _sizes(manifest: Manifest) -> str | None:
    """Of images of many sizes, in words."""
    if (kept := manifest.storage) is None:
        return None
    return (
        f"{kept.min_width} to {kept.max_width} wide, {kept.min_height} to {kept.max_height} high; "
        f"{kept.num_jpeg:,} JPEG, {kept.num_kept:,} of them with their original bytes"
    )


def _show(manifest: Manifest, output: Output) -> None:
    facts = _facts(manifest)
    if output is Output.json:
        print_json(facts | {"classes": list(manifest.classes)})
        return
    print_pairs((label, _text(value)) for label, value in facts.items() if value is not None)


def _text(value: Any) -> str:
    return ", ".join(f"{v:.2f}" for v in value) if isinstance(value, list) else str(value)
