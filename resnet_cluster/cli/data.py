"""`data`: prepare data sets and look at them."""

from __future__ import annotations

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

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder or a tar of <split>/<class>/<image>, or digits, cifar10, cifar100, "
            "fashion_mnist."
        ),
    ],
    name: Annotated[str, typer.Option("--as", help="The name that jobs use.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the data set itself.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels to resize and crop images to.")
    ] = None,
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
            seed=seed,
            on_plan=_announce,
            on_progress=on_progress,
        )
    if not prepared.is_new:
        note(f"{name} was prepared before from the same source; nothing was done")
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
            str(manifest.image_size),
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


def _announce(plan: PreparationPlan) -> None:
    note(
        f"{plan.num_train:,} training and {plan.num_test:,} test images of {plan.num_classes} "
        f"classes at {plan.side}x{plan.side}: {plan.num_bytes / 1e6:,.0f} MB of "
        f"{plan.free_bytes / 1e9:,.0f} GB free"
    )
    if plan.test_split == "holdout":
        note("the source has no test split: one image in five is held out, by class and seed")
    if plan.num_ignored:
        note(f"{plan.num_ignored:,} files that are not images are left out")


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "folder": str(manifest.folder),
        "sha256": manifest.sha256,
        "source": manifest.source.description,
        "encoding": manifest.encoding,
        "mode": manifest.mode,
        "image_size": manifest.image_size,
        "num_classes": len(manifest.classes),
        "num_train_images": manifest.train.num_images,
        "num_test_images": manifest.test.num_images,
        "test_split": manifest.test_split,
        "num_bytes": manifest.train.num_bytes + manifest.test.num_bytes,
        "channel_mean": list(manifest.channel_mean),
        "channel_std": list(manifest.channel_std),
    }


def _show(manifest: Manifest, output: Output) -> None:
    facts = _facts(manifest)
    if output is Output.json:
        print_json(facts | {"classes": list(manifest.classes)})
        return
    print_pairs((label, _text(value)) for label, value in facts.items())


def _text(value: Any) -> str:
    return ", ".join(f"{v:.2f}" for v in value) if isinstance(value, list) else str(value)
