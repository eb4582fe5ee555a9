"""The paper's tables with our figures in their cells; so far Table 6."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from resnet_cluster.errors import UsageError
from resnet_cluster.report.comparability import (
    NUM_TRAIN_IMAGES,
    differences,
    is_cifar10,
    is_original,
)
from resnet_cluster.report.measured import Cell, Measured, cells, published_row
from resnet_cluster.report.naming import model_name, parameters_text
from resnet_cluster.report.published import TABLE_6, Published
from resnet_cluster.results import DatasetFacts, RunSummary


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: the paper's, with our figure where there is a comparable one, or ours."""

    model: str
    layers: int | None
    num_parameters: str
    published: Published | None
    """The paper's figure; None in a row of our own."""
    cell: Cell | None
    apart: tuple[str, ...] = ()
    """What keeps a comparable figure of ours from the one that fills the paper's row."""
    is_beneath: bool = False
    """Whether it belongs to the paper's row above."""
    command: str = ""
    """What fills the empty cell; empty where we have no such network, or the cell is filled."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper."""

    number: int
    title: str
    rows: tuple[Row, ...]
    preparation: str
    """Command that prepares the data set of its cells; empty where that has been done."""
    notes: tuple[str, ...]

    @property
    def figures(self) -> tuple[Measured, ...]:
        """Our figures in it."""
        return tuple(figure for row in self.rows if row.cell for figure in row.cell.figures)


def build_table(
    number: int,
    figures: Sequence[Measured],
    runs: Sequence[RunSummary],
    prepared: Sequence[DatasetFacts],
) -> Table:
    """A table of the paper with the figures that belong to it.

    Args:
        number: the paper's.
        figures: of any runs.
        runs: all runs: the commands that fill cells avoid their names.
        prepared: the data sets that are there: the commands name one of them, or avoid its name.

    Raises:
        UsageError: no table of that number can be filled yet.
    """
    build = _TABLES.get(number)
    if build is None:
        known = ", ".join(map(str, sorted(_TABLES)))
        raise UsageError(f"there is no Table {number} to fill", mend=f"tables so far: {known}")
    return build(figures, runs, prepared)


def _table_6(
    figures: Sequence[Measured], runs: Sequence[RunSummary], prepared: Sequence[DatasetFacts]
) -> Table:
    found = list(cells([figure for figure in figures if is_cifar10(figure.run.dataset)]).values())
    rows: list[Row] = []
    data, is_prepared = _data_set(prepared)
    for published in TABLE_6:
        ours = [cell for cell in found if published_row(cell.figures[0].run) is published]
        rows += _rows_of(published, ours, _command(published, data, runs))
    others = [cell for cell in found if published_row(cell.figures[0].run) is None]
    rows += [_own_row(cell) for cell in others]
    return Table(
        number=6,
        title="Table 6: test error on CIFAR-10, in %",
        rows=tuple(rows),
        preparation="" if is_prepared else f"resnet-cluster data prepare cifar10 --as {data}",
        notes=tuple(_notes(found)),
    )


_Build = Callable[[Sequence[Measured], Sequence[RunSummary], Sequence[DatasetFacts]], Table]
_TABLES: dict[int, _Build] = {6: _table_6}


def _rows_of(published: Published, ours: Sequence[Cell], command: str) -> Iterator[Row]:
    comparable = [cell for cell in ours if not cell.differs]
    # The cell with most seeds fills the row: it says most, and its error had no part in the choice.
    chosen = max(comparable, key=lambda cell: cell.spread.n, default=None)
    yield Row(
        model=published.model,
        layers=published.layers,
        num_parameters=published.num_parameters,
        published=published,
        cell=chosen,
        command="" if chosen else command,
    )
    for cell in ours:
        if cell is not chosen:
            yield replace(_own_row(cell), is_beneath=True, apart=_apart(cell, chosen))


def _own_row(cell: Cell) -> Row:
    run = cell.figures[0].run
    return Row(
        model=model_name(run.job.model),
        layers=run.job.model.depth,
        num_parameters=parameters_text(run.record.num_parameters),
        published=None,
        cell=cell,
    )


_IDENTITY_WORDS = {
    "dataset_sha256": "another preparation of the data",
    "recipe_hash": "another recipe where the paper is silent",
    "trained_steps": "another length, within an epoch",
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


def _command(published: Published, data: str, runs: Sequence[RunSummary]) -> str:
    if published.depth is None:
        return ""
    shipped = 110 if published.depth >= 110 else 20
    words = ["resnet-cluster", "submit", f"jobs/cifar10_r{shipped}.yaml"]
    if published.depth != shipped:
        words += ["--set", f"model.depth={published.depth}"]
    if data != "cifar10":
        words += ["--data", data]
    usual = f"cifar10_r{published.depth}"
    # A name that another experiment has is refused.
    taken = {run.name for run in runs if run.name != usual or differences(run, None)}
    name = _free_name(usual, taken)
    if published.depth != shipped or name != usual:
        words += ["--name", name]
    return shlex.join(words)


def _data_set(prepared: Sequence[DatasetFacts]) -> tuple[str, bool]:
    """Name for the paper's data set, and whether it is prepared."""
    is_paper = {dataset.name: is_original(dataset) for dataset in prepared}
    if originals := [name for name in is_paper if is_paper[name]]:
        return ("cifar10" if "cifar10" in originals else originals[-1]), True
    return _free_name("cifar10", is_paper), False


def _free_name(usual: str, taken: Collection[str]) -> str:
    name, number = usual, 1
    while name in taken:
        number += 1
        name = f"{usual}-{number}"
    return name


def _notes(found: Sequence[Cell]) -> Iterator[str]:
    if any(cell.spread.n > 1 for cell in found):
        yield "Of n seeds: best (mean±sample deviation), and the difference of the mean."
    if any(cell.figures[0].run.dataset.num_train_images != NUM_TRAIN_IMAGES for cell in found):
        yield "Section 4.2 can also be read as 45,000 training images; the rows say 50,000."
