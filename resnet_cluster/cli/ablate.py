"""`ablate`: a sweep over keys of a job; the same command goes on, a larger one extends it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, note
from resnet_cluster.cli.stores import opened_store
from resnet_cluster.cli.submit import AddressOption, DetachOption, WorkersOption
from resnet_cluster.cli.sweep_plans import print_plan
from resnet_cluster.cli.sweep_seeds import check_rule
from resnet_cluster.cli.sweeping import How, run
from resnet_cluster.errors import UsageError

if TYPE_CHECKING:
    from resnet_cluster.cluster.sweep_plan import PlannedSweep
    from resnet_cluster.spec import AblationRequest


class SchedulerChoice(StrEnum):
    """Schedulers; named here too, so that `--help` need not import them."""

    none = "none"
    asha = "asha"


MANY = 1000
"""Trials; more are started with --yes only."""


def ablate(
    job: Annotated[
        Path | None,
        typer.Argument(help="An ablation or a job file; without it imagenet_depth, which ships."),
    ] = None,
    depths: Annotated[
        str | None, typer.Option(help="Depths of the network, such as 18,34,50.")
    ] = None,
    shortcuts: Annotated[str | None, typer.Option(help="Shortcuts, such as none,A,B,C.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="Vary any key, such as train.lr=0.05,0.1."),
    ] = None,
    zip_: Annotated[
        bool, typer.Option("--zip", help="Walk the lists together instead of combining them.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="Seeds of each.")] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out combinations that make no job.")
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key in every trial."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Name or folder of the data set.")] = None,
    workers: WorkersOption = None,
    seed: Annotated[int | None, typer.Option(help="The first seed.")] = None,
    name: Annotated[str | None, typer.Option(help="The sweep's name.")] = None,
    trials_per_gpu: Annotated[
        int, typer.Option(min=1, max=64, help="Trials that share a GPU.")
    ] = 1,
    pack: Annotated[
        int,
        typer.Option(min=1, max=64, help="Seeds of a combination that one process trains."),
    ] = 1,
    retries: Annotated[
        int, typer.Option(min=0, max=100, help="More attempts at a trial that fails.")
    ] = 1,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop all where one has failed.")
    ] = False,
    scheduler: Annotated[
        SchedulerChoice, typer.Option(help="asha stops trials early that fall behind.")
    ] = SchedulerChoice.none,
    until_significant: Annotated[
        bool,
        typer.Option("--until-significant", help="Seeds only for pairs that are not settled yet."),
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Time short probes, and say what the trials take.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(help="Of a GPU-hour: what the trials cost, too.")
    ] = None,
    max_gpu_hours: Annotated[
        float | None, typer.Option(help="GPU-hours that it may take; of workers, without GPUs.")
    ] = None,
    max_disk: Annotated[
        float | None, typer.Option(metavar="GB", help="GB that its runs may hold.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials.")] = False,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run trials again that have a run.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Start more than {MANY:,} trials.")
    ] = False,
    address: AddressOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Train variants of a job; what is in the store is not trained again."""
    from resnet_cluster.cluster.limits import Limits
    from resnet_cluster.cluster.packs import check_packs
    from resnet_cluster.cluster.sweep_order import SweepOptions
    from resnet_cluster.cluster.sweep_plan import check_failures, found_runs
    from resnet_cluster.spec import AblationRequest

    request = AblationRequest(
        depths=depths,
        shortcuts=shortcuts,
        vary=vary or (),
        is_zipped=zip_,
        num_seeds=seeds,
        overrides=overrides or (),
        name=name,
        seed=seed,
        workers=workers,
        data=data,
    )
    limits = Limits(
        is_wanted=estimate,
        price_per_hour=price,
        max_gpu_hours=max_gpu_hours,
        max_disk_gb=max_disk,
    )
    limits.check()
    options = SweepOptions(
        trials_per_gpu=trials_per_gpu,
        pack=pack,
        retries=retries,
        fail_fast=fail_fast,
        scheduler=scheduler.value,
        until_significant=until_significant,
        limits=limits,
    )
    how = How(address=address, detach=detach, options=options, rerun=rerun, output=output)
    is_embedded = not _joins_cluster(address)
    planned = _planned(job, request, skip_invalid=skip_invalid, yes=yes, embedded=is_embedded)
    if until_significant:
        check_rule(planned, options)
    check_packs([trial.trial.loaded.spec for trial in planned.trials], options)
    if dry_run:
        print_plan(planned, how)
        return
    check_failures(planned.failures)
    with opened_store() as store:
        run(planned, found_runs(planned, store), store, how)


def _planned(
    job: Path | None, request: AblationRequest, *, skip_invalid: bool, yes: bool, embedded: bool
) -> PlannedSweep:
    """The plan; what is left out of it is said."""
    from resnet_cluster.cluster.sweep_plan import plan_sweep, told_invalid
    from resnet_cluster.spec import load_ablation

    ablation = load_ablation(job or _shipped(), request)
    _check_number(ablation.num_trials, yes=yes)
    planned = plan_sweep(ablation, skips_invalid=skip_invalid, embedded=embedded)
    for line in told_invalid(planned.invalid):
        note(f"left out: {line}")
    for trial in planned.repeated:
        note(f"left out: {trial} is the same experiment as another: what varies changes no result")
    return planned


def _shipped() -> Path:
    from resnet_cluster.spec import shipped_ablations

    (path,) = (each for each in shipped_ablations() if each.name == "imagenet_depth.yaml")
    note(f"the ablation is ablations/{path.name}, which ships")
    return path


def _joins_cluster(address: str | None) -> bool:
    from resnet_cluster.cluster.connection import chosen_address

    return chosen_address(address) is not None


def _check_number(number: int, *, yes: bool) -> None:
    if number > MANY and not yes:
        raise UsageError(
            f"these are {number:,} trials", mend=f"vary less; more than {MANY:,} want --yes"
        )
