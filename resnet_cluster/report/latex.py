"""A report's tables for a paper: LaTeX with booktabs, a float each."""

from __future__ import annotations

import re

from resnet_cluster.report.build import Report
from resnet_cluster.report.escaping import latex
from resnet_cluster.report.grids import grids, uses_notes
from resnet_cluster.report.lines import Grid, Line

_NEGATIVE = re.compile(r"^-(?=\d)")
_PREAMBLE = "% Needs \\usepackage{booktabs} and, with pdfLaTeX, \\usepackage[T1]{fontenc}.\n"


def as_latex(report: Report) -> str:
    """The runs, where they are wanted, and the tables."""
    parts = [_PREAMBLE, *(_table(grid) for grid in grids(report))]
    parts += [f"% {latex(note)}\n" for note in uses_notes(report)]
    return "\n".join(parts)


def _table(grid: Grid) -> str:
    columns = "l" * grid.num_left + "r" * (len(grid.header) - 1 - grid.num_left)
    # Words on what differs, and commands, are too wide for a page's column: they are numbered.
    remarks: list[str] = []
    body = [_line(line, remarks) for line in grid.lines]
    header = " & ".join(latex(title) for title in grid.header[:-1])
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{latex(grid.title)}}}",
            f"\\begin{{tabular}}{{{columns}l}}",
            "\\toprule",
            f"{header} & \\\\",
            "\\midrule",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            *_notes(grid, remarks),
            "\\end{table}",
            "",
        ]
    )


def _line(line: Line, remarks: list[str]) -> str:
    *cells, remark = line.cells
    mark = ""
    if remark and not line.command:
        if remark not in remarks:
            remarks.append(remark)
        mark = f"$^{{{remarks.index(remark) + 1}}}$"
    indent = "\\quad " if line.is_beneath else ""
    return f"{indent}{' & '.join(map(_cell, cells))} & {mark} \\\\"


def _cell(text: str) -> str:
    # A hyphen is no minus sign.
    return _NEGATIVE.sub("$-$", latex(text))


def _notes(grid: Grid, remarks: list[str]) -> list[str]:
    notes = [f"$^{{{number}}}$ {latex(text)}" for number, text in enumerate(remarks, start=1)]
    notes += [latex(note) for note in grid.notes]
    return [f"\\par\\footnotesize {note}" for note in notes]
