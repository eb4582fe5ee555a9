"""How commands speak: results to stdout, everything else to stderr, JSON where it is asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

SCHEMA_VERSION = 1


class Output(StrEnum):
    """Kinds of output."""

    table = "table"
    json = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="Kind of output: table for people, or json.")
]


def console(stream: TextIO | None = None) -> Console:
    """A console that leaves users' text as it is: no markup, no emoji codes, no guesses.

    Args:
        stream: stdout by default.
    """
    from rich.console import Console

    # With NO_COLOR rich would still embolden.
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=stream, markup=False, emoji=False, highlight=False, color_system=colours)


def print_json(value: Any, *, stream: TextIO | None = None) -> None:
    """One JSON value on a line, on stdout by default; objects carry the schema's version."""
    if isinstance(value, dict):
        value = {"schema_version": SCHEMA_VERSION} | value
    print(
        json.dumps(value, ensure_ascii=False, allow_nan=False),
        file=stream or sys.stdout,
        flush=True,
    )


def as_json(record: BaseModel) -> dict[str, Any]:
    """A record ready for JSON, which has no NaN: a figure that is not finite is a string."""
    content: dict[str, Any] = json.loads(record.model_dump_json())
    return content


def note(text: str, *, stream: TextIO | None = None) -> None:
    """A hint or a warning, on stderr by default."""
    console(stream or sys.stderr).print(printable(text), soft_wrap=True)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Labels and values on stdout, one pair a line; a long value is never cut."""
    rows = list(pairs)
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        typer.echo(printable(f"{label:<{width}}  {value}"))


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    err: bool = False,
    stream: TextIO | None = None,
) -> None:
    """Rows in columns under a header, on stdout, on stderr or elsewhere; no value is cut."""
    lines = [header, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip(), file=stream, err=err)


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """The text without control sequences that it may have got from a name or a file."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
