"""`report --fill`: the commands that fill the empty cells of the paper's tables, shown or run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from resnet_cluster.cli.estimates import estimate_object, total_text
from resnet_cluster.cli.output import note, print_json
from resnet_cluster.errors import PreflightError, RunFailedError

if TYPE_CHECKING:
    from resnet_cluster.report import Report
    from resnet_cluster.results import SweepEstimateRecord


@dataclass(frozen=True)
class Fill:
    """What fills some cells: those of one network in two tables may need the same."""

    cells: tuple[str, ...]
    """`Table 3, ResNet-34 A`."""
    command: str


def fills(report: Report) -> tuple[Fill, ...]:
    """The commands, each once, in the order of the tables."""
    cells: dict[str, list[str]] = {}
    for table in report.tables:
        for model, command in table.commands:
            cells.setdefault(command, []).append(f"Table {table.number}, {model}")
    return tuple(Fill(tuple(names), command) for command, names in cells.items())


def show(
    report: Report,
    wanted: Sequence[Fill],
    *,
    as_json: bool,
    prices: Mapping[str, SweepEstimateRecord] | None = None,
) -> None:
    """The commands on stdout, one a line, those they need first; what they fill, and what they
    take where that was asked for, on stderr."""
    prices = prices or {}
    needed = [Fill((), command) for command in dict.fromkeys(_preparations(report))]
    wanted = [*needed, *wanted]
    if as_json:
        print_json([_as_object(each, prices.get(each.command)) for each in wanted])
        return
    for each in wanted:
        note(f"# {'; '.join(each.cells) or 'first'}")
        if each.command in prices:
            note(f"# {total_text([prices[each.command]])}")
        typer.echo(each.command)
    if prices:
        note(f"# in all {total_text(list(prices.values()))}")


def _as_object(fill: Fill, estimate: SweepEstimateRecord | None) -> dict[str, Any]:
    priced = {} if estimate is None else {"estimate": estimate_object(estimate)}
    return {"cells": list(fill.cells), "command": fill.command} | priced


def run(
    report: Report,
    wanted: Sequence[Fill],
    call: Callable[[list[str]], int] | None = None,
    *,
    prices: Mapping[str, SweepEstimateRecord] | None = None,
) -> None:
    """Run the commands one after the other, each in a process of its own.

    Args:
        report: for what its commands need.
        wanted: the commands.
        call: runs one, and returns its exit code; another in tests.
        prices: what commands take, by command, where that was asked for.

    Raises:
        PreflightError: a data set is not prepared.
        RunFailedError: a command failed; those after it have run all the same.
    """
    if needed := list(dict.fromkeys(_preparations(report))):
        raise PreflightError(
            "a data set that these runs train on is not prepared",
            mend="prepare it with " + " and ".join(f"`{command}`" for command in needed),
        )
    if prices:
        note(f"in all {total_text(list(prices.values()))}")
    call = call or _call
    failed = []
    for number, each in enumerate(wanted, start=1):
        note(f"{number} of {len(wanted)}: {each.command}")
        if code := call(shlex.split(each.command)[1:]):
            failed.append(f"{each.command} ({code})")
    if failed:
        raise RunFailedError(
            f"{len(failed)} of {len(wanted)} commands failed: {'; '.join(failed)}",
            mend="run them one by one; what has succeeded is kept",
        )


def _preparations(report: Report) -> Iterator[str]:
    for table in report.tables:
        if table.preparation and table.commands:
            yield table.preparation


def _call(words: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "resnet_cluster", *words], check=False).returncode
