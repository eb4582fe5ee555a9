"""A report on a terminal: fits 80 columns, and says what differs in notes below the tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from resnet_cluster.report.build import Report
from resnet_cluster.report.claim_terminal import print_claims
from resnet_cluster.report.escaping import plain
from resnet_cluster.report.listing import Listed
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.rows import Row, Table
from resnet_cluster.report.terminal_style import build_grid, print_commands
from resnet_cluster.report.wording import (
    cell_text,
    difference_text,
    epochs_text,
    ours_text,
    published_text,
    row_note,
    run_note,
    uses_text,
)
from resnet_cluster.results import RunState

_STATE_STYLES = {
    RunState.FAILED: "red",
    RunState.DIVERGED: "red",
    RunState.LOST: "red",
    RunState.RUNNING: "cyan",
    RunState.RECOVERING: "cyan",
}


MOST_LINES = 100
"""Of the list of runs, on a terminal."""


class _Notes:
    """Notes below a report, each with a letter that stands in the tables for it."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def mark(self, note: str) -> str:
        """`(a)` for a note, nothing for none; equal notes share a letter."""
        return f"({self.letters.setdefault(note, _letter(len(self.letters)))})" if note else ""


def print_report(report: Report, console: Console) -> None:
    """Print a report; widths and colours are the console's."""
    notes = _Notes()
    if report.with_runs:
        _print_runs(report, console, notes)
    for table in report.tables:
        console.print(_grid_of_table(table, notes))
        console.print()
        for note in table.notes:
            console.print(_hanging("", note))
    if report.claims:
        print_claims(report.claims, report.plan, console)
    for uses in report.uses:
        console.print(_hanging("", plain(uses_text(uses))))
    for note, letter in notes.letters.items():
        console.print(_hanging(f"({letter})", plain(note)))
    for table in report.tables:
        _print_commands(table, console)


def _print_runs(report: Report, console: Console, notes: _Notes) -> None:
    if not report.figures:
        console.print("No runs yet.\n")
        return
    grid = build_grid("Runs")
    grid.add_column("run", overflow="fold")
    grid.add_column("model", no_wrap=True)
    grid.add_column("data set", overflow="fold")
    grid.add_column("state", no_wrap=True)
    for heading in ("epochs", "error", "diff"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for listed in report.listed[-MOST_LINES:]:
        grid.add_row(*_run_cells(listed, notes))
    console.print(grid)
    console.print()
    if len(report.listed) > MOST_LINES:
        words = f"The newest {MOST_LINES} lines of {len(report.listed):,}; --format md has all."
        console.print(_hanging("", words))


def _run_cells(listed: Listed, notes: _Notes) -> Iterator[Text]:
    figure, setup = listed.first, listed.first.run.setup
    yield Text(plain(listed.name))
    yield Text(model_name(setup.job.model))
    yield Text(plain(setup.dataset.name), style="dim")
    yield Text(listed.states, style=_STATE_STYLES.get(figure.run.state, "dim"))
    yield Text(epochs_text(figure))
    yield Text(cell_text(listed.cell), style="bold")
    mark = notes.mark(run_note(figure))
    difference = listed.cell.difference if listed.cell else None
    words = [difference_text(difference)] if difference is not None or not mark else []
    yield Text(" ".join(filter(None, [*words, mark])), style="dim" if mark else "")


def _grid_of_table(table: Table, notes: _Notes) -> Grid:
    grid = build_grid(table.title)
    grid.add_column("model", no_wrap=True)
    for heading in ("layers", "params") if table.has_parameters else ():
        grid.add_column(heading, justify="right", no_wrap=True)
    for heading in ("published", "ours"):
        grid.add_column(heading, no_wrap=True)
    for heading in ("diff", "n"):
        grid.add_column(heading, justify="right", no_wrap=True)
    is_paper = True
    for row in table.rows:
        if is_paper and not row.is_papers and not row.is_beneath:
            grid.add_section()
            is_paper = False
        grid.add_row(*_table_cells(row, table, notes))
    return grid


def _table_cells(row: Row, table: Table, notes: _Notes) -> Iterator[Text]:
    quiet = "" if row.is_papers else "dim"
    model = plain(row.model)
    yield Text(f"  {model}" if row.is_beneath else model, style=quiet)
    if table.has_parameters:
        yield Text("" if row.layers is None else str(row.layers), style=quiet)
        yield Text(row.num_parameters, style=quiet)
    yield Text(published_text(row, top5=table.has_top5))
    yield Text(ours_text(row, top5=table.has_top5).rjust(5), style=quiet or "bold")
    difference = row.cell.difference if row.cell else None
    words = [difference_text(difference)] if difference is not None else []
    yield Text(" ".join(filter(None, [*words, notes.mark(row_note(row))])), style=quiet)
    yield Text(str(row.cell.spread.n) if row.cell else "", style=quiet)


def _print_commands(table: Table, console: Console) -> None:
    commands = list(table.commands)
    if not commands:
        return
    console.print(Text(f"\nTo fill the empty cells of Table {table.number}:", style="bold"))
    if table.preparation:
        commands.insert(0, ("first", table.preparation))
    print_commands(commands, console)


def _hanging(mark: str, words: str) -> Grid:
    grid = Grid.grid(padding=(0, 1))
    if mark:
        grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row(*(Text(part, style="dim") for part in (mark, words) if part))
    return grid


def _letter(number: int) -> str:
    """a, b, ... z, a1, b1, ..."""
    rounds, place = divmod(number, 26)
    return "abcdefghijklmnopqrstuvwxyz"[place] + (str(rounds) if rounds else "")
