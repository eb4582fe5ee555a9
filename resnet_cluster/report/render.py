"""A report as text: for a terminal, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from rich.console import Console

from resnet_cluster.report.build import Report
from resnet_cluster.report.escaping import markdown, spreadsheet
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.objects import objects, unfilled
from resnet_cluster.report.tables import Row, Table
from resnet_cluster.report.terminal import print_report
from resnet_cluster.report.wording import (
    difference_text,
    differs_text,
    epochs_text,
    error_text,
    ours_text,
    published_text,
    row_note,
    uses_text,
)

CSV_COLUMNS = (
    "run_id",
    "name",
    "state",
    "model",
    "depth",
    "shortcut",
    "num_parameters",
    "dataset",
    "encoding",
    "num_train_images",
    "seed",
    "epochs_done",
    "protocol",
    "split",
    "select",
    "ema",
    "step",
    "top1_err",
    "top5_err",
    "published_top1_err",
    "difference",
    "differs",
    "n",
    "best_top1_err",
    "mean_top1_err",
    "std_top1_err",
    "dataset_sha256",
    "key",
    "command",
)


class Format(StrEnum):
    """Formats of a report."""

    TABLE = "table"
    MD = "md"
    CSV = "csv"
    JSON = "json"


def render(report: Report, format: Format, console: Console) -> None:
    """Print a report. Colours, and the width of `table`, are the console's."""
    if format is Format.TABLE:
        print_report(report, console)
        return
    text = {Format.MD: _markdown, Format.CSV: _csv, Format.JSON: _json}[format](report)
    # Past the console's own printing, which wraps lines.
    console.file.write(text)


def _json(report: Report) -> str:
    return json.dumps(objects(report), indent=2, allow_nan=False) + "\n"


def _csv(report: Report) -> str:
    lines = objects(report)
    for table in report.tables:
        lines += [unfilled(row) for row in table.rows if row.published and row.cell is None]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([_csv_value(line.get(column)) for column in CSV_COLUMNS] for line in lines)
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    match value:
        case list():
            return spreadsheet(differs_text(value))
        case str():
            return spreadsheet(value)
        case _:
            return value


def _markdown(report: Report) -> str:
    parts = []
    if report.with_runs:
        parts.append(_markdown_runs(report))
    parts += [_markdown_table(table) for table in report.tables]
    parts += [f"{markdown(uses_text(uses))}\n" for uses in report.uses]
    return "\n".join(parts)


def _markdown_runs(report: Report) -> str:
    header = ("run", "model", "data set", "state", "epochs", "error", "difference", "what differs")
    rows = [
        (
            markdown(figure.run.name),
            markdown(model_name(figure.run.job.model)),
            markdown(figure.run.dataset.name),
            figure.run.state.value,
            epochs_text(figure),
            error_text(figure.top1_err),
            difference_text(figure.difference),
            markdown(differs_text(figure.differs)),
        )
        for figure in report.figures
    ]
    body = _markdown_grid(header, rows, right=4) if rows else "No runs yet.\n"
    return f"## Runs\n\n{body}"


def _markdown_table(table: Table) -> str:
    header: tuple[str, ...] = (
        "model",
        "layers",
        "parameters",
        "published",
        "ours",
        "difference",
        "n",
        "",
    )
    lines = [f"## {markdown(table.title)}\n"]
    rows = [_markdown_row(row, top5=table.has_top5) for row in table.rows]
    if not table.has_parameters:
        header, rows = (header[0], *header[3:]), [(row[0], *row[3:]) for row in rows]
    lines.append(_markdown_grid(header, rows, right=1))
    lines += [f"{markdown(note)}\n" for note in table.notes]
    if table.preparation and any(row.command for row in table.rows):
        lines.append(f"Before the commands: `{table.preparation}`.\n")
    return "\n".join(lines)


def _markdown_row(row: Row, *, top5: bool) -> tuple[str, ...]:
    return (
        markdown(row.model),
        "" if row.layers is None else str(row.layers),
        row.num_parameters,
        published_text(row.published, top5=top5),
        ours_text(row, top5=top5),
        difference_text(row.cell.difference) if row.cell else "",
        str(row.cell.spread.n) if row.cell else "",
        f"`{row.command}`" if row.command else markdown(row_note(row)),
    )


def _markdown_grid(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: int) -> str:
    """A table whose columns from `right` to the last but one are aligned right."""
    last = len(header) - 1
    rule = ["--:" if right <= place < last else ":--" for place in range(len(header))]
    lines = [header, rule, *rows]
    return "".join("| " + " | ".join(cell or " " for cell in line) + " |\n" for line in lines)
