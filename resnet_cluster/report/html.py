"""A report as one HTML file that loads nothing from elsewhere; every figure leads to its run."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator

from resnet_cluster.report.build import Report
from resnet_cluster.report.escaping import plain
from resnet_cluster.report.grids import grids, uses_notes
from resnet_cluster.report.lines import Grid, Line
from resnet_cluster.report.page import SCRIPT, STYLE
from resnet_cluster.results import ImportedWeights, RunSummary

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_TITLE = "Runs beside the figures of the ResNet paper"


def as_html(report: Report) -> str:
    """The runs and the tables, sortable, and where each of our figures came from."""
    parts = [_section(grid) for grid in grids(report)]
    parts += [f'<p class="note">{_text(note)}</p>' for note in uses_notes(report)]
    parts += [f"<figure>\n{image}</figure>" for image in report.images]
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{_TITLE}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_TITLE}</h1>\n" + "\n".join(parts) + f"\n{_provenance(report)}"
        f"<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return html.escape(plain(text))


def _section(grid: Grid) -> str:
    if not grid.lines:
        return f"<section>\n<h2>{_text(grid.title)}</h2>\n<p>No runs yet.</p>\n</section>"
    header = "".join(
        f'<th scope="col"{_side(grid, place)}>'
        + (f'<button type="button">{_text(title)}</button>' if title else "")
        + "</th>"
        for place, title in enumerate(grid.header)
    )
    notes = [f'<p class="note">{_text(note)}</p>' for note in grid.notes]
    if grid.preparation:
        notes.append(f"<p>Before the commands: <code>{_text(grid.preparation)}</code></p>")
    return "\n".join(
        [
            f"<section>\n<h2>{_text(grid.title)}</h2>",
            f'<div class="scroll"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>',
            *(_line(line, grid) for line in grid.lines),
            "</tbody>\n</table></div>",
            *notes,
            "</section>",
        ]
    )


def _line(line: Line, grid: Grid) -> str:
    cells = []
    for place, cell in enumerate(line.cells):
        shown = f"<code>{_text(cell)}</code>" if _is_command(line, place) else _text(cell)
        if line.run_ids and grid.header[place] in ("run", "ours"):
            shown = _linked(shown, line.run_ids)
        title = grid.header[place] if place else ""
        label = f' data-label="{_text(title)}"' if title else ""
        cells.append(f"<td{_side(grid, place)}{label}>{shown}</td>")
    kind = ' class="beneath"' if line.is_beneath else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


def _is_command(line: Line, place: int) -> bool:
    return bool(line.command) and place == len(line.cells) - 1


def _linked(shown: str, run_ids: tuple[str, ...]) -> str:
    """A figure that leads to its run; one of several runs has a number for each of the others."""
    first, *rest = run_ids
    links = [f'<a href="#{_text(first)}">{shown}</a>']
    links += [f'<a href="#{_text(run)}">{number}</a>' for number, run in enumerate(rest, start=2)]
    return " ".join(links)


def _side(grid: Grid, place: int) -> str:
    is_number = grid.num_left <= place < len(grid.header) - 1
    return ' class="number"' if is_number else ""


def _provenance(report: Report) -> str:
    runs = {figure.run.run_id: figure.summary for figure in report.figures}
    if not runs:
        return ""
    body = "".join(map(_details, runs.values()))
    return f"<section>\n<h2>Where the figures come from</h2>\n{body}</section>\n"


def _details(run: RunSummary) -> str:
    title = f"{_text(run.name)} ({_text(run.run_id)})"
    return (
        f'<details id="{_text(run.run_id)}"><summary>{title}</summary>\n'
        f"<dl>{''.join(_facts(run))}</dl></details>\n"
    )


def _origin(imported: ImportedWeights | None) -> Iterator[tuple[str, str]]:
    if imported:
        yield "weights", f"imported from {imported.file} (SHA-256 {imported.sha256})"


def _facts(run: RunSummary) -> Iterator[str]:
    record = run.record
    facts = (
        ("key", record.key),
        ("state", run.state.value),
        ("data set", f"{run.dataset.name} ({run.dataset.encoding})"),
        ("its SHA-256", run.dataset.sha256),
        ("seed", str(run.job.seed)),
        ("commit", record.git_commit or "none"),
        *_origin(record.imported),
        ("command", record.command),
        ("versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
        ("job", json.dumps(record.job)),
    )
    for label, value in facts:
        yield f"<dt>{label}</dt><dd>{_text(value)}</dd>"
