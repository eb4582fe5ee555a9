"""A comparison on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from resnet_cluster.report.comparison import Contender, Contrast, Outcome
from resnet_cluster.report.comparison_wording import (
    Labels,
    interval_text,
    unlike_text,
    verdict_text,
)
from resnet_cluster.report.escaping import plain
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.seed_groups import SeedGroup
from resnet_cluster.report.statistics import spread
from resnet_cluster.report.terminal_style import build_grid


def print_comparison(
    contenders: Sequence[Contender],
    contrasts: Sequence[Contrast],
    labels: Labels,
    console: Console,
) -> None:
    """Print the groups, and what is found of each pair of them."""
    identity, setup = contenders[0].group.identity, contenders[0].group.figures[0].run.setup
    where = f"{setup.dataset.num_test_images:,} images of {plain(setup.dataset.name)}"
    how = f"{identity.split} split, {identity.protocol}"
    console.print(Text(f"Top-1 error in % on {where}, {how}", style="bold"))
    grid = build_grid("")
    grid.add_column("", no_wrap=True)
    for heading in ("runs", "model"):
        grid.add_column(heading, overflow="fold")
    for heading in ("n", "mean", "std"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("", overflow="fold")
    for contender in contenders:
        grid.add_row(*_cells(contender.group, labels))
    console.print(grid)
    for contrast in contrasts:
        _print_contrast(contrast, labels, console, is_family=len(contrasts) > 1)


def _cells(group: SeedGroup, labels: Labels) -> Iterator[Text]:
    over = spread(group.errors)
    yield Text(labels[group], style="bold")
    yield Text(plain(group.name))
    yield Text(plain(model_name(group.figures[0].run.setup.job.model)))
    yield Text(str(over.n))
    yield Text(f"{over.mean:.2f}", style="bold")
    yield Text("" if over.std is None else f"{over.std:.2f}")
    yield Text("; ".join(group.marks), style="dim")


def _print_contrast(
    contrast: Contrast, labels: Labels, console: Console, *, is_family: bool
) -> None:
    pair = f"{labels[contrast.first]} and {labels[contrast.second]}"
    verdict = verdict_text(contrast, labels, is_family=is_family)
    style = "" if contrast.outcome is Outcome.OPEN else "bold"
    console.print()
    console.print(Text(f"{pair}: {verdict}" if is_family else verdict, style=style))
    if contrast.interval:
        console.print(_beneath(f"95 %: {interval_text(contrast.interval)}"))
    console.print(_beneath(f"{pair} differ in: {unlike_text(contrast)}"))


def _beneath(words: str) -> Padding:
    return Padding(Text(words, style="dim"), (0, 0, 0, 2), expand=False)
