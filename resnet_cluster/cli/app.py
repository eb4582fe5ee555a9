"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_cluster import __version__
from resnet_cluster.cli import (
    ablate,
    analyze,
    compare,
    data,
    ensemble,
    evaluate,
    export,
    importing,
    init,
    parity,
    report,
    runs,
    submit,
)

app = typer.Typer(
    name="resnet-cluster",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"resnet-cluster {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train the networks of the ResNet paper on your GPUs; get its tables from your own runs."""


app.command("init")(init.init)
app.command("submit")(submit.submit)
app.command("ablate")(ablate.ablate)
app.command("list")(runs.list_runs)
app.command("status")(runs.status)
app.command("logs")(runs.logs)
app.command("wait")(runs.wait)
app.command("stop")(runs.stop)
app.command("resume")(submit.resume)
app.command("rm")(runs.rm)
app.command("evaluate")(evaluate.evaluate)
app.command("ensemble")(ensemble.ensemble)
app.command("compare")(compare.compare)
app.command("analyze")(analyze.analyze)
app.command("import")(importing.import_weights)
app.command("export")(export.export)
app.command("report")(report.report)
data.app.command("parity")(parity.parity)
app.add_typer(data.app, name="data", help="Prepare data sets and look at them.")
