"""What the commands of `report --fill` would take, one after the other on this machine."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_cluster.cli.output import counted, note
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.errors import ResnetClusterError

if TYPE_CHECKING:
    from resnet_cluster.cli.fill import Fill
    from resnet_cluster.cluster.limits import Limits
    from resnet_cluster.cluster.pricing import Work
    from resnet_cluster.results import ResultStore, SweepEstimateRecord
    from resnet_cluster.spec import LoadedJob


def priced(wanted: Sequence[Fill], limits: Limits) -> dict[str, SweepEstimateRecord]:
    """An estimate for each command that can be planned here; why others cannot is said.

    Args:
        wanted: the commands.
        limits: with the price of an hour.
    """
    with opened_store() as store:
        works = dict(_works(wanted, store))
    if not works:
        return {}
    whole = _estimate(tuple(works.values()), limits)
    return {
        command: whole.model_copy(
            update={
                "trials": (trial,),
                "seconds": trial.seconds,
                "hours": trial.hours,
                "disk_bytes": trial.disk_bytes,
            }
        )
        for command, trial in zip(works, whole.trials, strict=True)
    }


def _works(wanted: Sequence[Fill], store: ResultStore) -> Iterator[tuple[str, Work]]:
    unknown: dict[str, int] = {}
    for each in wanted:
        try:
            yield each.command, _work(shlex.split(each.command)[1:], store)
        except ResnetClusterError as error:
            unknown[error.message] = unknown.get(error.message, 0) + 1
    for message, number in unknown.items():
        note(f"{counted(number, 'command')} cannot be estimated: {message}")


def _work(words: list[str], store: ResultStore) -> Work:
    """What a command computes: the training of a job, or one measurement of a run's weights."""
    from resnet_cluster.cluster.capacity import own_machine
    from resnet_cluster.cluster.preflight import check_resources
    from resnet_cluster.cluster.pricing import Work
    from resnet_cluster.cluster.submission import plan_job
    from resnet_cluster.spec import JobSource, LoadedJob

    verb, *rest = words
    if verb == "submit":
        planned = plan_job(_loaded(rest))
        check_resources(planned.job, own_machine(), planned.source)
        return Work(planned)
    reference, _, protocol = rest
    job = looked_up(store, reference).job
    changes = {
        "evaluate": job.evaluate.model_copy(update={"protocols": (protocol,)}),
        "resources": job.resources.model_copy(update={"workers": 1}),
    }
    planned = plan_job(LoadedJob(job.model_copy(update=changes), JobSource()))
    plan = planned.plan
    return Work(planned, epochs_done=plan.num_epochs, disk_bytes=plan.predictions_bytes)


def _loaded(words: list[str]) -> LoadedJob:
    """The job of a command that `report` has made; a shipped one where no file of it is here."""
    from resnet_cluster.spec import load_job, shipped_jobs

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("job", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--name")
    parser.add_argument("--data")
    said = parser.parse_args(words)
    shipped = {path.name: path for path in shipped_jobs()}
    path = said.job if said.job.exists() else shipped.get(said.job.name, said.job)
    return load_job(path, overrides=said.set, name=said.name, data=said.data)


def _estimate(works: tuple[Work, ...], limits: Limits) -> SweepEstimateRecord:
    from resnet_cluster.cluster.pricing import Pricing, estimated_alone
    from resnet_cluster.home import runs_root

    pricing = Pricing(
        works=works,
        limits=limits,
        storage=runs_root(),
        note=lambda text, stream: note(text, stream=stream),
        show=lambda estimate, stream: None,
        most_at_once=1,
    )
    estimate = estimated_alone(pricing, None)
    assert estimate is not None
    return estimate
