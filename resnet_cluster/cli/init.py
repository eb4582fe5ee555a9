"""`init`: job files and ablations to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_cluster.cli.output import note


def init(
    folder: Annotated[Path, typer.Argument(help="Where to put them; made if need be.")] = Path(
        "jobs"
    ),
) -> None:
    """Copy job files, and ablations of them, to start from."""
    from resnet_cluster.errors import UsageError
    from resnet_cluster.spec import copy_jobs

    try:
        copied = copy_jobs(folder)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", mend="name another folder") from error
    for path in copied.written:
        typer.echo(path)
    for path in copied.kept:
        note(f"{path} was there already and is left as it is")
