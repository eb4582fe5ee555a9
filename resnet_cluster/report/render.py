"""A report in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich.console import Console

from resnet_cluster.report.build import Report
from resnet_cluster.report.claim_grids import claim_objects
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
    "members",
    "command",
)


CLAIM_COLUMNS = (
    "claim",
    "verdict",
    "part",
    "published",
    "effect",
    "low",
    "high",
    "n",
    "part_verdict",
    "run_ids",
)


class Format(StrEnum):
    """Formats of a report."""

    TABLE = "table"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"
    HTML = "html"


TELLING_OF_RUNS = (Format.CSV, Format.JSON, Format.HTML)
"""Formats that tell of each run behind a figure."""


def render(report: Report, format: Format, console: Console) -> None:
    """Print a report. Colours, and the width of `table`, are the console's."""
    if format is Format.TABLE:
        print_report(report, console)
        return
    # Past the console's own printing, which wraps lines.
    console.file.write(_WRITERS[format](report))


def _json(report: Report) -> str:
    found = claim_objects(report.claims, report.plan) if report.claims else objects(report)
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _csv(report: Report) -> str:
    if report.claims:
        return _csv_text(CLAIM_COLUMNS, list(_claim_lines(report)))
    lines = objects(report)
    for table in report.tables:
        lines += [unfilled(row) for row in table.rows if row.published and row.cell is None]
    return _csv_text(CSV_COLUMNS, lines)


def _claim_lines(report: Report) -> Iterator[dict[str, Any]]:
    """A line for each part of a claim."""
    for claim in claim_objects(report.claims, report.plan):
        for part in claim["parts"]:
            low, high = part["interval"] or (None, None)
            verdicts = {"verdict": claim["verdict"], "part_verdict": part["verdict"]}
            yield claim | part | verdicts | {"part": part["says"], "low": low, "high": high}


def _csv_text(columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_value(line.get(column)) for column in columns] for line in lines)
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    match value:
        case list():
            return spreadsheet(differs_text(map(str, value)))
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
