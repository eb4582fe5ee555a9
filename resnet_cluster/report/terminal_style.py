"""What the parts of a report look like on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text


def build_grid(title: str) -> Grid:
    """A table without columns yet; without a title where that is empty."""
    return Grid(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        header_style="dim",
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
    )


def print_commands(commands: Sequence[tuple[str, str]], console: Console) -> None:
    """Commands, each after its label, and never wrapped: they are there to be copied."""
    width = max(len(label) for label, _ in commands)
    for label, command in commands:
        line = Text.assemble((f"{label.ljust(width)}  ", "dim"), command)
        console.print(line, soft_wrap=True)
