"""The paper's tables with our figures in their cells; here those of single networks' errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from resnet_cluster.errors import UsageError
from resnet_cluster.report import costs, ensembles
from resnet_cluster.report.commands import Filling
from resnet_cluster.report.experiments import CIFAR10, Experiment, experiment_on
from resnet_cluster.report.measured import Cell, Identity, Measured, cells
from resnet_cluster.report.naming import depth_of, model_name, parameters_text
from resnet_cluster.report.published import PUBLISHED, Published
from resnet_cluster.report.rows import Row, Sources, Table
from resnet_cluster.spec import ModelSpec, PaperNetSpec, TorchvisionNetSpec

TITLES = {
    1: costs.TITLE,
    2: "Table 2: top-1 error on ImageNet's validation images, 10-crop, in %",
    3: "Table 3: top-1 / top-5 error on ImageNet's validation images, 10-crop, in %",
    4: "Table 4: top-1 / top-5 error of single models on ImageNet's validation images, in %",
    5: ensembles.TITLE,
    6: "Table 6: test error on CIFAR-10, in %",
}
_WITH_OTHERS = (3, 6)
"""Tables that also show our networks that the paper has not."""


def build_table(number: int, sources: Sources) -> Table:
    """A table of the paper with the figures that belong to it.

    Raises:
        UsageError: there is no such table of errors.
    """
    if number not in TITLES:
        known = ", ".join(map(str, TITLES))
        raise UsageError(f"there is no Table {number} to fill", mend=f"tables so far: {known}")
    if number == 1:
        return costs.costs_table(sources)
    experiment = experiment_on(PUBLISHED[number][0].dataset)
    if number == 5:
        return ensembles.ensembles_table(sources)
    own = [figure for figure in sources.figures if figure.experiment is experiment]
    found = [cell for cell in cells(own).values() if _belongs(cell, number, own)]
    filling = Filling(experiment=experiment, runs=sources.runs, prepared=sources.prepared)
    homes = {id(cell): _home(cell, number, experiment) for cell in found}
    rows: list[Row] = []
    for published in PUBLISHED[number]:
        ours = [cell for cell in found if homes[id(cell)] is published]
        rows += _rows_of(published, ours, filling)
    if number in _WITH_OTHERS:
        rows += [
            _own_row(cell)
            for cell in found
            if not experiment.rows_of(_model(cell)) and homes[id(cell)] is None
        ]
    return Table(
        number=number,
        title=TITLES[number],
        rows=tuple(rows),
        preparation=filling.preparation,
        notes=tuple(_notes(found, experiment)),
    )


def _model(cell: Cell) -> ModelSpec:
    return cell.figures[0].run.setup.job.model


def _home(cell: Cell, number: int, experiment: Experiment) -> Published | None:
    """The paper's row that a cell fills or stands beneath: of its network, else of its depth."""
    model = _model(cell)
    if isinstance(model, TorchvisionNetSpec):
        return next((row for row in PUBLISHED[number] if row.arch == model.arch), None)
    if not isinstance(model, PaperNetSpec) or model.family != experiment.family:
        return None
    alike = [row for row in PUBLISHED[number] if row.depth == model.depth]
    exact = [row for row in alike if row.shortcut == model.shortcut]
    residual = [row for row in alike if "none" not in (row.shortcut, model.shortcut)]
    return next(iter(exact or residual), None)


def _belongs(cell: Cell, number: int, figures: Sequence[Measured]) -> bool:
    """Whether a cell is of the table's protocol, or its network has no figure that is."""
    if number == CIFAR10.rows[0].table:
        return True
    wanted = PUBLISHED[number][-1].protocol
    kind = _kind(cell.figures[0])
    if kind in ("10-crop", "multi-scale"):
        return kind == wanted
    mine = _apart_from_protocol(cell.figures[0].identity)
    return not any(
        _kind(figure) == wanted and _apart_from_protocol(figure.identity) == mine
        for figure in figures
    )


def _kind(figure: Measured) -> str:
    """The paper's word for a protocol, whatever its sizes and averages."""
    protocol = figure.evaluation.protocol if figure.evaluation else ""
    if protocol.startswith("ten-crop"):
        return "10-crop"
    return "multi-scale" if protocol.startswith("multi-scale") else protocol


def _apart_from_protocol(identity: Identity | None) -> Identity | None:
    return replace(identity, protocol="") if identity else None


def _rows_of(published: Published, ours: Sequence[Cell], filling: Filling) -> Iterator[Row]:
    comparable = [cell for cell in ours if not cell.differs]
    # The cell with most seeds fills the row: it says most, and its error had no part in the choice.
    chosen = max(comparable, key=lambda cell: cell.spread.n, default=None)
    yield Row(
        model=published.model,
        layers=published.layers,
        num_parameters=published.num_parameters,
        published=published,
        cell=chosen,
        command="" if chosen else filling.command(published),
    )
    for cell in ours:
        if cell is not chosen:
            yield replace(_own_row(cell), is_beneath=True, apart=_apart(cell, chosen))


def _own_row(cell: Cell) -> Row:
    setup = cell.figures[0].run.setup
    return Row(
        model=model_name(setup.job.model),
        layers=depth_of(setup.job.model),
        num_parameters=parameters_text(setup.num_parameters),
        published=None,
        cell=cell,
    )


_IDENTITY_WORDS = {
    "dataset_sha256": "another preparation of the data",
    "recipe_hash": "another recipe where the paper is silent",
    "trained_steps": "another length, within an epoch",
    "imported_weights": "other weights",
    "training_semantics": "trained by a version to which the recipe meant something else",
}


def _apart(cell: Cell, chosen: Cell | None) -> tuple[str, ...]:
    """Why a comparable cell does not share the row of the chosen one."""
    if cell.differs or chosen is None:
        return ()
    mine, theirs = cell.figures[0].identity, chosen.figures[0].identity
    assert mine is not None
    return tuple(
        _IDENTITY_WORDS.get(field.name, f"another {field.name}")
        for field in fields(mine)
        if getattr(mine, field.name) != getattr(theirs, field.name)
    )


def _notes(found: Sequence[Cell], experiment: Experiment) -> Iterator[str]:
    if any(cell.spread.n > 1 for cell in found):
        yield "Of n seeds: best (mean±sample deviation), and the difference of the mean."
    images = {cell.figures[0].run.setup.dataset.num_train_images for cell in found}
    if experiment is CIFAR10 and images - {experiment.num_train_images}:
        yield "Section 4.2 can also be read as 45,000 training images; the rows say 50,000."
