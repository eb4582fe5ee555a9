"""The paper's claims on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from resnet_cluster.report.claim_commands import Plan
from resnet_cluster.report.claim_wording import (
    NOTES,
    effect_text,
    part_text,
    published_effect_text,
    seeds_text,
)
from resnet_cluster.report.claims import Unanswerable
from resnet_cluster.report.terminal_style import build_grid, print_commands
from resnet_cluster.report.verdicts import MOST_SEEDS, Finding, Judged, Verdict
from resnet_cluster.report.wording import NOTHING

_STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "red", Verdict.OPEN: "dim"}
_MARKS = {Verdict.HOLDS: "+", Verdict.FAILS: "x", Verdict.OPEN: " "}
"""Of a part, where its verdict has no room."""


def print_claims(claims: Sequence[Judged], plan: Plan, console: Console) -> None:
    """Print the claims, and the next command for each network that open ones need."""
    console.print(_grid(claims))
    console.print()
    for note in NOTES:
        console.print(Text(note, style="dim"))
    _print_plan(plan, console)


def _grid(claims: Sequence[Judged]) -> Grid:
    grid = build_grid("Claims of the paper")
    grid.add_column("", justify="right", no_wrap=True)
    grid.add_column("claim", overflow="fold")
    grid.add_column("published", justify="right", no_wrap=True)
    grid.add_column("ours", no_wrap=True)
    grid.add_column("n", justify="right", no_wrap=True)
    for judged in claims:
        grid.add_row(*_claim_cells(judged))
        for finding in judged.findings:
            grid.add_row(*_part_cells(finding))
    return grid


def _claim_cells(judged: Judged) -> Iterator[Text]:
    yield Text(str(judged.claim.number), style="bold")
    yield Text(judged.claim.says, style="bold")
    yield Text("")
    yield Text(judged.verdict.value, style=f"bold {_STYLES[judged.verdict]}")


def _part_cells(finding: Finding) -> Iterator[Text]:
    part = finding.part
    yield Text(_MARKS[finding.verdict], style=_STYLES[finding.verdict])
    words = f"{part.says}: {part.why}" if isinstance(part, Unanswerable) else part_text(part)
    yield Text(words, style="dim")
    published, ours = published_effect_text(finding), effect_text(finding)
    yield Text("" if published == NOTHING else published, style="dim")
    yield Text("" if ours == NOTHING else ours)
    yield Text(seeds_text(finding), style="dim")


def _print_plan(plan: Plan, console: Console) -> None:
    lines = [
        (f"{each.net.name}, first of {len(each.commands)}", each.commands[0])
        for each in plan.needed
        if each.commands
    ]
    if lines:
        console.print(Text("\nTo settle open claims, network by network:", style="bold"))
        lines = [*(("first", command) for command in plan.preparations), *lines]
        print_commands(lines, console)
        console.print(Text("All of them are in -o json.", style="dim"))
    if small := [each.net.name for each in plan.needed if each.is_small]:
        words = f"A difference of {', '.join(small)} would need {MOST_SEEDS} seeds or more of each."
        console.print(Text(f"\n{words}", style="dim"))
