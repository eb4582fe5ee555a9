"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_cluster.report.build import Report
from resnet_cluster.report.escaping import markdown
from resnet_cluster.report.grids import grids, uses_notes
from resnet_cluster.report.lines import Grid, Line


def as_markdown(report: Report) -> str:
    """The runs and the tables, as GitHub shows them."""
    parts = [_grid(grid) for grid in grids(report)]
    parts += [f"{markdown(note)}\n" for note in uses_notes(report)]
    return "\n".join(parts)


def _grid(grid: Grid) -> str:
    parts = [f"## {markdown(grid.title)}\n"]
    rows = [_row(line) for line in grid.lines]
    parts.append(_table(grid.header, rows, grid.num_left) if rows else "No runs yet.\n")
    parts += [f"{markdown(note)}\n" for note in grid.notes]
    if grid.preparation:
        parts.append(f"Before the commands: `{grid.preparation}`.\n")
    return "\n".join(parts)


def _row(line: Line) -> list[str]:
    cells = [markdown(cell) for cell in line.cells]
    return [*cells[:-1], f"`{line.command}`"] if line.command else cells


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], num_left: int) -> str:
    """A table whose columns from `num_left` to the last but one are aligned right."""
    last = len(header) - 1
    rule = ["--:" if num_left <= place < last else ":--" for place in range(len(header))]
    lines = [header, rule, *rows]
    return "".join("| " + " | ".join(cell or " " for cell in line) + " |\n" for line in lines)
