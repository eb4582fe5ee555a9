"""`import`: weights that were trained elsewhere, as a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, note
from resnet_cluster.cli.stores import opened_store
from resnet_cluster.cli.submit import print_run
from resnet_cluster.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnet_cluster.cluster.importing import PlannedImport
    from resnet_cluster.cluster.submission import FoundRun
    from resnet_cluster.exchange import ForeignWeights
    from resnet_cluster.results import RunSummary
    from resnet_cluster.spec import LoadedJob


def import_weights(
    weights: Annotated[
        Path, typer.Argument(help="A safetensors file, or a state dict of torch.save.")
    ],
    job: Annotated[
        Path | None,
        typer.Argument(
            help="The job file: which network it is, and the images it is measured on. A file "
            "that `export --to safetensors` has written carries its own."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as model.depth=18."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Name or folder of the data set.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's name.")] = None,
    output: OutputOption = Output.table,
) -> None:
    """Register weights that were trained elsewhere as a run, to be measured like any other."""
    from resnet_cluster.cluster.importing import find_or_import, plan_import
    from resnet_cluster.exchange import read_foreign
    from resnet_cluster.home import runs_root
    from resnet_cluster.spec import load_job

    changes = overrides or ()
    # The job first, which is read at once.
    loaded = load_job(job, overrides=changes, name=name, data=data) if job else None
    foreign = read_foreign(weights)
    asked = plan_import(loaded or _carried(foreign, changes, name, data), foreign)
    with opened_store() as store:
        found = find_or_import(asked, store, runs_root())
    _say(found, asked, foreign, name)
    print_run(found.run, output)


def _carried(
    foreign: ForeignWeights, overrides: Sequence[str], name: str | None, data: str | None
) -> LoadedJob:
    """The job that an exported file carries."""
    from resnet_cluster.exchange import JOB_KEY
    from resnet_cluster.spec import load_carried_job
    from resnet_cluster.spec.source import printable

    where = printable(str(foreign.path), limit=400)
    if JOB_KEY not in foreign.metadata:
        raise UsageError(
            f"{where}: does not say which network its weights are of",
            mend="name a job file after it; `resnet-cluster init` copies some to start from",
        )
    carried = foreign.metadata[JOB_KEY]
    return load_carried_job(carried, where, overrides=overrides, name=name, data=data)


def _say(found: FoundRun, asked: PlannedImport, foreign: ForeignWeights, name: str | None) -> None:
    run = found.run
    if not found.is_new:
        note(f"{run.name} ({run.run_id}) has these weights already")
        if name not in (None, run.name):
            note(f"--name {name} is not needed: these weights are {run.name}")
        if any(not (run.run_dir / artefact.path).is_file() for artefact in run.artefacts):
            mend = f"`resnet-cluster rm {run.run_id}`, then import them again"
            note(f"warning: they are gone from {run.run_dir}: {mend}")
        return
    inside = f", under {foreign.taken_from!r}" if foreign.taken_from else ""
    note(f"{run.name} ({run.run_id}) has the weights of {asked.imported.file}{inside}")
    _say_what_weights_do_not(run, foreign)
    for protocol in run.job.evaluate.protocols:
        command = shlex.join(["resnet-cluster", "evaluate", run.name, "--protocol", protocol])
        note(f"measure it with `{command}`")


def _say_what_weights_do_not(run: RunSummary, foreign: ForeignWeights) -> None:
    """What the same weights would fit as well, and only the job decides."""
    from resnet_cluster.exchange import DATASET_KEY

    data, model = run.job.data, run.job.model
    view = f", the centre of {data.view.size} of {data.view.resize}" if data.view else ""
    note(f"its images are prepared as the job says: normalize {data.normalize}{view}")
    if model.family == "imagenet" and model.depth >= 50 and model.variant == "v1":
        note(
            "warning: the job says model.variant v1, and the weights do not tell; torchvision's "
            "and most others are v1.5"
        )
    if foreign.metadata.get(DATASET_KEY, run.dataset.sha256) != run.dataset.sha256:
        note(
            f"warning: they were exported with another data set than {run.dataset.name}, or with "
            "another preparation of it: what is subtracted from its images may differ"
        )
