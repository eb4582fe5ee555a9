"""A report as grids of text."""

from __future__ import annotations

from resnet_cluster.report.build import Report
from resnet_cluster.report.claim_grids import claims_grid, plan_grids
from resnet_cluster.report.lines import Grid, Line
from resnet_cluster.report.listing import Listed
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.rows import Row, Table
from resnet_cluster.report.wording import (
    cell_text,
    difference_text,
    differs_text,
    epochs_text,
    ours_text,
    published_text,
    row_note,
    run_note,
    uses_text,
)


def grids(report: Report) -> tuple[Grid, ...]:
    """The runs, where they are wanted, each table of the paper, and the claims."""
    runs = (_runs(report),) if report.with_runs else ()
    claims = (claims_grid(report.claims), *plan_grids(report.plan)) if report.claims else ()
    return (*runs, *(_table(table) for table in report.tables), *claims)


def uses_notes(report: Report) -> tuple[str, ...]:
    """How often each test set has been used, in words."""
    return tuple(uses_text(uses) for uses in report.uses)


def _runs(report: Report) -> Grid:
    header = ("run", "model", "data set", "state", "epochs", "error", "difference", "what differs")
    lines = tuple(_run_line(listed) for listed in report.listed)
    return Grid(title="Runs", header=header, lines=lines, num_left=4)


def _run_line(listed: Listed) -> Line:
    figure, setup = listed.first, listed.first.run.setup
    return Line(
        cells=(
            listed.name,
            model_name(setup.job.model),
            setup.dataset.name,
            listed.states,
            epochs_text(figure),
            cell_text(listed.cell),
            difference_text(listed.cell.difference if listed.cell else None),
            run_note(figure) or differs_text(figure.differs),
        ),
        run_ids=tuple(one.run.run_id for one in listed.figures),
    )


def _table(table: Table) -> Grid:
    header = ("published", "ours", "difference", "n", "")
    size: tuple[str, ...] = ("layers", "parameters") if table.has_parameters else ()
    lines = [_table_line(row, table) for row in table.rows]
    return Grid(
        title=table.title,
        header=("model", *size, *header),
        lines=tuple(lines),
        num_left=1,
        preparation=table.preparation if table.commands else "",
        notes=table.notes,
    )


def _table_line(row: Row, table: Table) -> Line:
    size = ("" if row.layers is None else str(row.layers), row.num_parameters)
    figures = row.cell.figures if row.cell else ()
    members = row.ensemble.members if row.ensemble else ()
    return Line(
        cells=(
            row.model,
            *(size if table.has_parameters else ()),
            published_text(row, top5=table.has_top5),
            ours_text(row, top5=table.has_top5),
            difference_text(row.cell.difference) if row.cell else "",
            str(row.cell.spread.n) if row.cell else "",
            row.command or row_note(row),
        ),
        command=row.command,
        run_ids=tuple(figure.run.run_id for figure in figures) or members,
        is_beneath=row.is_beneath,
    )
