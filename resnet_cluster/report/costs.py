"""Table 1: what an image costs."""

from __future__ import annotations

from resnet_cluster.report.commands import Filling
from resnet_cluster.report.experiments import IMAGENET
from resnet_cluster.report.naming import papers_net
from resnet_cluster.report.published import TABLE_1, TABLE_2, TABLE_3, Architecture, Published
from resnet_cluster.report.rows import Row, Sources, Table
from resnet_cluster.results import AnyRun

TITLE = "Table 1: multiply-adds of an image of 224x224 pixels"
_IMAGE_SIZE = 224


def costs_table(sources: Sources) -> Table:
    """The nets of Table 1, each with the shortcut that the paper trained it with."""
    filling = Filling(experiment=IMAGENET, runs=sources.runs, prepared=sources.prepared)
    note = "Ours are those of the convolutions and the classifier; the paper's look rounded down."
    return Table(
        number=1,
        title=TITLE,
        rows=tuple(_row(architecture, sources, filling) for architecture in TABLE_1),
        preparation=filling.preparation,
        notes=(note,),
    )


def _row(architecture: Architecture, sources: Sources, filling: Filling) -> Row:
    trained = _trained(architecture)
    found = [run.setup.flops for run in sources.runs if _is(run, trained)]
    blocks = " ".join(map(str, architecture.num_blocks))
    return Row(
        model=f"{architecture.depth} layers: {blocks} {architecture.block} blocks",
        layers=None,
        num_parameters="",
        published=None,
        cell=None,
        flops=(architecture.flops, found[-1] if found else None),
        command="" if found else filling.command(trained),
    )


def _trained(architecture: Architecture) -> Published:
    """The figure of the net that the paper trained: basic blocks with option A, others with B."""
    wanted = (architecture.depth, "A" if architecture.block == "basic" else "B")
    return next(row for row in TABLE_2 + TABLE_3 if (row.depth, row.shortcut) == wanted)


def _is(run: AnyRun, trained: Published) -> bool:
    """Whether a run's network is the table's, on images of its size and as many classes."""
    setup = run.setup
    wanted = (IMAGENET.family, trained.depth, trained.shortcut)
    size = (setup.dataset.image_size, setup.dataset.num_classes)
    return papers_net(setup.job.model) == wanted and size == (_IMAGE_SIZE, IMAGENET.num_classes)
