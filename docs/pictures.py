"""Draws the README's pictures of a terminal from the runs that the store has.

    python docs/pictures.py RUN

RUN is the run whose course is shown; the report is that of all runs.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from resnet_cluster.cli.display import describe
from resnet_cluster.home import runs_root, store_url
from resnet_cluster.report import Format, build_report, render
from resnet_cluster.results import EventLog, ResultStore, RunSummary

DOCS = Path(__file__).resolve().parent
WIDTH = 124
# No web font: a page that shows the picture may load nothing from elsewhere.
SVG = """<svg xmlns="http://www.w3.org/2000/svg" class="rich-terminal"
 viewBox="0 0 {width} {height}"><style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
 font-size: {char_height}px; line-height: {line_height}px; }}
{styles}</style><defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}<g transform="translate({terminal_x}, {terminal_y})"
 clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}<g class="{unique_id}-matrix">
{matrix}</g></g></svg>
"""


def main(reference: str) -> None:
    """Write docs/report.svg and docs/submit.svg."""
    with ResultStore.open(store_url(), runs_root=runs_root()) as store:
        store.ingest()
        runs = store.runs()
        run = store.run(reference)
    console = _console()
    render(build_report(runs), Format.TABLE, console)
    _save(console, "resnet-cluster report", "report.svg")
    _save(_course(run), run.record.command, "submit.svg")


def _course(run: RunSummary) -> Console:
    console = _console()
    for _, record in EventLog(run.run_dir).read():
        if text := describe(record):
            console.print(text, soft_wrap=True)
    return console


def _console() -> Console:
    return Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, highlight=False
    )


def _save(console: Console, title: str, name: str) -> None:
    svg = console.export_svg(title=title, theme=DIMMED_MONOKAI, code_format=SVG, unique_id="t")
    (DOCS / name).write_text(svg)


if __name__ == "__main__":
    main(sys.argv[1])
