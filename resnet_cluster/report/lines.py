"""Grids of plain text: what Markdown, LaTeX and HTML each write in their own way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a grid.

    Attributes:
        cells: as many as the grid has columns; users' text in them is not escaped.
        command: what fills the line's empty cell; it stands in the last column.
        run_ids: the runs behind the line's figure.
        is_beneath: whether it belongs to the line above.
    """

    cells: tuple[str, ...]
    command: str = ""
    run_ids: tuple[str, ...] = ()
    is_beneath: bool = False


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of text.

    Attributes:
        title: above it.
        header: of its columns.
        lines: its body.
        num_left: columns from the left that hold words; those up to the last hold numbers.
        preparation: command that comes before those of the lines.
        notes: below it.
    """

    title: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]
    num_left: int
    preparation: str = ""
    notes: tuple[str, ...] = ()
