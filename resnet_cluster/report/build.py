"""The report: our runs, and the paper's tables with our figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnet_cluster.report.measured import Cell, Identity, Measured, cells, measured
from resnet_cluster.report.tables import Table, build_table
from resnet_cluster.results import DatasetFacts, RunSummary, UsesOfTestSet

_ALL_TABLES = (6,)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `report` prints, in any format."""

    figures: tuple[Measured, ...]
    """Our figures, the oldest run first; a run without one is there too."""
    tables: tuple[Table, ...]
    with_runs: bool
    """Whether our runs are listed on their own."""
    cells: Mapping[Identity, Cell]
    """The same figures by identity."""
    uses: tuple[UsesOfTestSet, ...] = ()
    """Of the test sets that our figures are of."""

    def cell(self, figure: Measured) -> Cell | None:
        """The figures of the same identity as one of ours; None for a run without a figure."""
        return self.cells[figure.identity] if figure.identity else None


def build_report(
    runs: Sequence[RunSummary],
    *,
    table: int | None = None,
    prepared: Sequence[DatasetFacts] | None = None,
    uses: Sequence[UsesOfTestSet] = (),
) -> Report:
    """The report on `runs`.

    Args:
        runs: all runs of the store, the oldest first.
        table: number of the one table of the paper that is wanted; None for the runs and each.
        prepared: the data sets that commands may name; None takes those of the runs.
        uses: of the test sets.

    Raises:
        UsageError: no table of that number can be filled yet.
    """
    figures = measured(runs)
    numbers = _ALL_TABLES if table is None else (table,)
    known = [run.dataset for run in runs] if prepared is None else prepared
    tables = tuple(build_table(number, figures, runs, known) for number in numbers)
    if table is not None:
        shown = tables[0].figures
        figures = tuple(figure for figure in figures if figure in shown)
    shown_sets = {figure.run.dataset.sha256 for figure in figures if figure.evaluation}
    return Report(
        figures=figures,
        tables=tables,
        with_runs=table is None,
        cells=cells(figures),
        uses=tuple(use for use in uses if use.dataset_sha256 in shown_sets),
    )
