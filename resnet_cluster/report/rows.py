"""The paper's tables as lines: what every format shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_cluster.report.measured import Cell, Measured
from resnet_cluster.report.published import Published
from resnet_cluster.results import AnyRun, DatasetFacts, EnsembleRecord


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: the paper's, with our figure where there is a comparable one, or ours."""

    model: str
    layers: int | None
    num_parameters: str
    published: Published | None
    """The paper's figure; None in a row of our own."""
    cell: Cell | None
    ensemble: EnsembleRecord | None = None
    """Our figure in the table of ensembles."""
    flops: tuple[float, int | None] | None = None
    """The paper's multiply-adds and ours, in the table of costs."""
    apart: tuple[str, ...] = ()
    """What keeps a comparable figure of ours from the one that fills the paper's row."""
    is_beneath: bool = False
    """Whether it belongs to the paper's row above."""
    command: str = ""
    """What fills the empty cell; empty where we have no such network, or the cell is filled."""

    @property
    def is_papers(self) -> bool:
        """Whether it is one of the paper's lines."""
        return self.published is not None or self.flops is not None


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

    @property
    def has_parameters(self) -> bool:
        """Whether the paper's has layers and parameters."""
        return any(row.published and row.published.num_parameters for row in self.rows)

    @property
    def has_top5(self) -> bool:
        """Whether the paper's has top-5 errors."""
        return any(row.published and row.published.top5_err is not None for row in self.rows)

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """Model and command of each empty cell."""
        return tuple((row.model, row.command) for row in self.rows if row.command)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What tables are built from.

    Attributes:
        figures: of any runs.
        runs: all runs: the commands that fill cells avoid their names.
        prepared: the data sets that are there.
        ensembles: figures of several runs together.
    """

    figures: Sequence[Measured]
    runs: Sequence[AnyRun]
    prepared: Sequence[DatasetFacts]
    ensembles: Sequence[EnsembleRecord] = ()
