"""Packs: seeds of one combination that one process trains side by side, as one trial of Tune's.

A small net leaves most of a GPU idle. Trainings in threads of one process share it kernel by
kernel, each on a stream of its own, and share the start of the process and its memory. Each is
still a run of its own: its events, checkpoints, end and resumption are those of a run that is
trained alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from resnet_cluster.errors import UsageError
from resnet_cluster.spec import JobSpec, PaperNetSpec

if TYPE_CHECKING:
    from resnet_cluster.cluster.sweep_order import SweepOptions


def packs_of(jobs: Iterable[JobSpec], size: int) -> tuple[tuple[int, ...], ...]:
    """Places of the jobs that are packed together: alike but for the seed, at most `size` of them.

    Packs are in the order of their first jobs.
    """
    found: dict[str, list[int]] = {}
    for place, job in enumerate(jobs):
        found.setdefault(_but_seed(job) if size > 1 else str(place), []).append(place)
    packs = [
        tuple(places[first : first + size])
        for places in found.values()
        for first in range(0, len(places), size)
    ]
    return tuple(sorted(packs))


def check_packs(jobs: Sequence[JobSpec], options: SweepOptions) -> None:
    """Refuse packs of what cannot be packed.

    Raises:
        UsageError: there is one seed of each, a trial has several workers, a network may draw
            numbers while it trains, or trials are let in or stopped one by one.
    """
    size = options.pack
    if size == 1:
        return
    _check_rules(options)
    if max(map(len, packs_of(jobs, size))) == 1:
        raise UsageError(
            f"--pack {size} trains seeds of one combination together, and there is one of each",
            mend="ask for several with --seeds, or leave --pack out",
        )
    for job in jobs:
        if job.resources.workers > 1:
            raise UsageError(
                f"--pack {size} trains several trials in one process, and {job.name} has "
                f"{job.resources.workers} workers",
                mend="add --workers 1, or leave --pack out",
            )
        if not isinstance(job.model, PaperNetSpec):
            raise UsageError(
                f"--pack {size} takes the paper's networks, and {job.name} is of family "
                f"{job.model.family}: it may draw numbers while it trains, and a process has one "
                "generator",
                mend="leave --pack out",
            )


def _check_rules(options: SweepOptions) -> None:
    rule = "--until-significant" if options.until_significant else ""
    rule = rule or (f"--scheduler {options.scheduler}" if options.scheduler != "none" else "")
    if rule:
        raise UsageError(
            f"--pack {options.pack} begins and ends several trials together, and {rule} decides "
            "of each by itself",
            mend="leave one of them out",
        )


def _but_seed(job: JobSpec) -> str:
    return json.dumps(job.model_dump(mode="json", exclude={"seed", "name"}), sort_keys=True)
