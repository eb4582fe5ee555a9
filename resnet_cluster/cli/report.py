"""`report`: the runs, and the paper's tables beside them."""

from __future__ import annotations

import contextlib
import gc
import io
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, console, note
from resnet_cluster.cli.stores import opened_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resnet_cluster.cluster.limits import Limits
    from resnet_cluster.report import Format, Report
    from resnet_cluster.results import DatasetFacts, ResultStore, RunSummary

FILE_WIDTH = 120


class ReportFormat(StrEnum):
    """Forms of a report; named here too, so that `--help` need not import the report."""

    table = "table"
    md = "md"
    csv = "csv"
    json = "json"
    latex = "latex"
    html = "html"


def report(
    table: Annotated[int | None, typer.Option(help="Only this table of the paper.")] = None,
    figure: Annotated[
        int | None, typer.Option(help="Draw this figure of the paper into --out.")
    ] = None,
    format_: Annotated[
        ReportFormat | None, typer.Option("--format", help="Form of the report.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead.")] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="List the commands that fill the empty cells.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fill: run them.")] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="With --fill: what they take, by short probes.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(help="With --fill: what they cost, at so much a GPU-hour.")
    ] = None,
    claims: Annotated[
        bool, typer.Option("--claims", help="Judge the paper's claims by the runs.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="With --claims: exit 6 where one fails.")
    ] = False,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="json is --format json.")
    ] = Output.table,
) -> None:
    """Show the runs, and the paper's tables with their figures in them."""
    from resnet_cluster.errors import UsageError
    from resnet_cluster.report import Format, render

    if output is Output.json and format_ not in (None, ReportFormat.json):
        raise UsageError(f"--format {format_} and -o json exclude each other", mend="give one")
    limits = _limits(estimate=estimate, price=price, fill=fill)
    _check_fill(format_, out, fill=fill, yes=yes)
    _check_claims(claims=claims, check=check, has_others=fill or table is not None)
    if figure is not None:
        _draw(figure, _image_path(out, table is not None or format_ is not None or fill or claims))
        return
    chosen = format_ or (ReportFormat.json if output is Output.json else ReportFormat.table)
    with _uncollected():
        built = _of_claims() if claims else _built(table, Format(chosen), fill=fill)
        if fill:
            _fill(built, limits, output, yes=yes)
        elif out is None:
            render(built, Format(chosen), console())
        else:
            _write(_rendered(built, Format(chosen)), out)
    if check:
        _fail_with_claims(built)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage among the values of thousands of runs: all are needed to the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _built(table: int | None, format: Format, *, fill: bool) -> Report:
    """The report, from no more of each run than it tells."""
    from resnet_cluster.report import TELLING_OF_RUNS, Format, build_report

    tells_of_runs = format in TELLING_OF_RUNS and not fill
    with opened_store() as store:
        runs = store.runs() if tells_of_runs else ()
        built = build_report(
            runs if tells_of_runs else store.outlines(),
            table=table,
            prepared=_prepared(),
            uses=store.uses_of_test_sets(),
            ensembles=store.ensembles(),
        )
        if format is Format.HTML and table is None:
            built = replace(built, images=_images(store, runs))
    return built


def _of_claims() -> Report:
    from resnet_cluster.report import build_claims

    with opened_store() as store:
        return build_claims(store.runs(), store, prepared=_prepared())


def _check_claims(*, claims: bool, check: bool, has_others: bool) -> None:
    from resnet_cluster.errors import UsageError

    if check and not claims:
        raise UsageError("--check says nothing without --claims", mend="add --claims")
    if claims and has_others:
        raise UsageError(
            "--claims judges all runs, and takes neither --table nor --fill",
            mend="leave them out",
        )


def _fail_with_claims(built: Report) -> None:
    """
    Raises:
        ClaimFailsError: one does.
    """
    from resnet_cluster.errors import ClaimFailsError
    from resnet_cluster.report import Verdict

    failing = [each.claim for each in built.claims if each.verdict is Verdict.FAILS]
    if failing:
        numbers = ", ".join(str(claim.number) for claim in failing)
        raise ClaimFailsError(
            f"of the paper's claims {numbers} fail{'s' if len(failing) == 1 else ''}",
            mend="the report shows by which runs, and how far",
        )


def _image_path(out: Path | None, has_others: bool) -> Path:
    from resnet_cluster.errors import UsageError

    if has_others:
        raise UsageError(
            "--figure draws one image, and takes neither --table, --format, --fill nor --claims",
            mend="leave them out",
        )
    if out is None:
        raise UsageError("--figure needs a file", mend="add --out figure.svg (or .png, .pdf)")
    return out


def _draw(number: int, path: Path) -> None:
    """A figure in a file, whole or not at all."""
    from resnet_cluster.report.drawing import draw
    from resnet_cluster.report.figures import build_figure

    with opened_store() as store:
        built = build_figure(number, store.runs(), store)
    _write(draw(built, path.suffix.removeprefix(".")), path)


def _images(store: ResultStore, runs: Sequence[RunSummary]) -> tuple[str, ...]:
    """The figures that there are curves for."""
    from resnet_cluster.report.drawing import draw, svg_element
    from resnet_cluster.report.figures import build_figure, drawable

    built = (build_figure(number, runs, store) for number in drawable(runs, store))
    return tuple(svg_element(draw(figure, "svg")) for figure in built)


def _check_fill(format_: ReportFormat | None, out: Path | None, *, fill: bool, yes: bool) -> None:
    from resnet_cluster.errors import UsageError

    if yes and not fill:
        raise UsageError("--yes says nothing without --fill", mend="add --fill")
    if fill and (out or format_):
        raise UsageError(
            "--fill lists commands, and takes neither --format nor --out", mend="leave them out"
        )


def _limits(*, estimate: bool, price: float | None, fill: bool) -> Limits:
    """What is asked of the price of commands."""
    from resnet_cluster.cluster.limits import Limits
    from resnet_cluster.errors import UsageError

    limits = Limits(is_wanted=estimate, price_per_hour=price)
    limits.check()
    if limits.needs_probe and not fill:
        raise UsageError("--estimate and --price are of --fill's commands", mend="add --fill")
    return limits


def _fill(built: Report, limits: Limits, output: Output, *, yes: bool) -> None:
    from resnet_cluster.cli import fill
    from resnet_cluster.cli.fill_prices import priced

    wanted = fill.fills(built)
    if not wanted:
        note("no cell of these tables is empty that a command could fill")
        return
    prices = priced(wanted, limits) if limits.needs_probe else {}
    if yes:
        fill.run(built, wanted, prices=prices)
    else:
        fill.show(built, wanted, as_json=output is Output.json, prices=prices)


def _prepared() -> list[DatasetFacts]:
    """The data sets that a command may name; of those under another name than theirs, none."""
    from resnet_cluster.data import list_datasets
    from resnet_cluster.results import DatasetFacts

    manifests, _ = list_datasets()
    return [
        DatasetFacts(
            name=manifest.name,
            sha256=manifest.sha256,
            encoding=manifest.encoding,
            source=Path(manifest.source.description).name,
            num_classes=len(manifest.classes),
            image_size=manifest.image_size or 0,  # of many sizes
            num_train_images=manifest.train.num_images,
            num_holdout_images=0,
            num_test_images=manifest.test.num_images,
        )
        for manifest in manifests
    ]


def _rendered(built: Report, format_: Format) -> bytes:
    from rich.console import Console

    from resnet_cluster.report import render

    text = io.StringIO()
    render(built, format_, Console(file=text, width=FILE_WIDTH))
    return text.getvalue().encode()


def _write(content: bytes, path: Path) -> None:
    """A file, whole or not at all."""
    from resnet_cluster.errors import UsageError
    from resnet_cluster.files import write_whole

    if path.is_dir():
        raise UsageError(f"{path}: is a folder", mend="name a file in it")
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", mend="name another file") from error
    note(f"wrote {path}")
