"""`analyze`: how strongly each layer of a finished run's network responds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, as_json, note, print_json, print_table
from resnet_cluster.cli.protocols import own_dataset
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.cli.weights import counting, own_context, read_weights, weights_file

if TYPE_CHECKING:
    from resnet_cluster.data import Manifest
    from resnet_cluster.results import NormsRecord, ResponsesRecord, RunSummary

BAR_WIDTH = 30


def analyze(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of one, or its name.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Test images at most, evenly over the split.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Measure the deviation of each 3x3 layer's responses (Figure 7), and store it."""
    from resnet_cluster.results import EventLog, NormsRecord, ResponsesRecord

    with opened_store() as store:
        found = looked_up(store, run)
    weights_file(found)
    manifest = own_dataset(found)
    num_images = min(limit or manifest.test.num_images, manifest.test.num_images)
    log, name = EventLog(found.run_dir), ResponsesRecord.name_of("test", num_images)
    if name in log.names():
        note(f"{found.name} ({found.run_id}) has been analyzed so before")
    else:
        log.record(_measured(found, manifest, num_images))
    record = log.load(name)
    assert isinstance(record, ResponsesRecord)
    events = (log.load(event) for event in log.names() if event.startswith("norms-"))
    norms = [each for each in events if isinstance(each, NormsRecord)]
    if output is Output.json:
        about = {"run_id": found.run_id, "name": found.name}
        print_json(about | as_json(record) | {"norms": [as_json(each) for each in norms]})
    else:
        _print(record)
        _print_norms(norms)


def _measured(run: RunSummary, manifest: Manifest, num_images: int) -> ResponsesRecord:
    from resnet_cluster.results import LayerStd, ResponsesRecord
    from resnet_cluster.training.responses import run_responses

    with counting("images", run.name) as on_progress:
        layers = run_responses(
            run.job,
            manifest,
            read_weights(run),
            own_context(run),
            limit=num_images,
            on_progress=on_progress,
        )
    return ResponsesRecord(
        split="test",
        num_images=num_images,
        layers=tuple(LayerStd(**asdict(layer)) for layer in layers),
    )


def _print_norms(norms: list[NormsRecord]) -> None:
    """Of the first and the last epoch that were recorded: of those between, JSON tells."""
    if not norms:
        return
    first, last = norms[0], norms[-1]
    heads = [f"epoch {record.epoch}" for record in (first, last)]
    typer.echo("\nRoot mean squares of the layers' signals, and of the loss's gradients in them")
    print_table(
        (
            "layer",
            "convolution",
            *(f"{what}, {h}" for what in ("signal", "gradient") for h in heads),
        ),
        [
            (
                str(place),
                one.name,
                *(f"{value:.4g}" for value in (one.forward, two.forward)),
                *(f"{value:.3e}" for value in (one.gradient, two.gradient)),
            )
            for place, (one, two) in enumerate(zip(first.layers, last.layers, strict=True), start=1)
        ],
    )


def _print(record: ResponsesRecord) -> None:
    most = max(layer.std for layer in record.layers)
    rank = {
        place: number
        for number, place in enumerate(
            sorted(range(len(record.layers)), key=lambda at: -record.layers[at].std), start=1
        )
    }
    rows = [
        (
            str(place + 1),
            layer.name,
            f"{layer.std:.4f}",
            str(rank[place]),
            "#" * round(BAR_WIDTH * layer.std / most) if most else "",
        )
        for place, layer in enumerate(record.layers)
    ]
    print_table(("layer", "convolution", "deviation", "by size", ""), rows)
