"""A report in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from rich.console import Console

from resnet_cluster.report.build import Report
from resnet_cluster.report.escaping import spreadsheet
from resnet_cluster.report.html import as_html
from resnet_cluster.report.latex import as_latex
from resnet_cluster.report.markdown import as_markdown
from resnet_cluster.report.objects import objects, unfilled
from resnet_cluster.report.terminal import print_report
from resnet_cluster.report.wording import differs_text

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
    LATEX = "latex"
    HTML = "html"


def render(report: Report, format: Format, console: Console) -> None:
    """Print a report. Colours, and the width of `table`, are the console's."""
    if format is Format.TABLE:
        print_report(report, console)
        return
    # Past the console's own printing, which wraps lines.
    console.file.write(_WRITERS[format](report))


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


_WRITERS: dict[Format, Callable[[Report], str]] = {
    Format.MD: as_markdown,
    Format.CSV: _csv,
    Format.JSON: _json,
    Format.LATEX: as_latex,
    Format.HTML: as_html,
}
