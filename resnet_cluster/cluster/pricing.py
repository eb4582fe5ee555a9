"""What runs will take, before they begin: counted from their jobs, timed by short probes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TextIO

from resnet_cluster.cluster.capacity import Cluster, concurrency
from resnet_cluster.cluster.connection import chosen_address, connected
from resnet_cluster.cluster.limits import Limits
from resnet_cluster.cluster.metering import GB, hours_of, unit_of
from resnet_cluster.cluster.noise import NOISE_NAME, noise_in
from resnet_cluster.cluster.packs import packs_of
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.cluster.submission import PlannedJob
from resnet_cluster.errors import PreflightError
from resnet_cluster.planning import (
    DataFacts,
    Probe,
    Workload,
    estimate_run,
    makespan,
    wanted_probes,
    workload,
)
from resnet_cluster.results import SweepEstimateRecord, TrialEstimate


@dataclass(frozen=True)
class Work:
    """A run that is to be priced.

    Attributes:
        planned: its job.
        epochs_done: epochs that are behind it.
        disk_bytes: what it will hold, where that is not what a training does.
    """

    planned: PlannedJob
    epochs_done: int = 0
    disk_bytes: int | None = None

    @cached_property
    def load(self) -> Workload:
        """What is left to compute."""
        planned = self.planned
        facts = DataFacts.of(planned.manifest)
        load = workload(planned.job, planned.plan, facts, epochs_done=self.epochs_done)
        return load if self.disk_bytes is None else replace(load, disk_bytes=self.disk_bytes)


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """How runs are priced.

    Attributes:
        works: the runs.
        limits: what is asked, and what they may take.
        storage: the folder of runs, in which checkpoints are timed.
        note: called with how far the probes are.
        show: called with the estimate, before it is judged.
        trials_per_gpu: runs, or packs of them, that share a GPU.
        pack: runs that a process trains side by side.
        most_at_once: runs at a time; None for as many as the cluster holds.
        hours_before: hours that earlier attempts at them have taken.
        bytes_before: what other runs of the sweep hold.
    """

    works: tuple[Work, ...]
    limits: Limits
    storage: Path
    note: Callable[[str, TextIO], None]
    show: Callable[[SweepEstimateRecord, TextIO], None]
    trials_per_gpu: int = 1
    pack: int = 1
    most_at_once: int | None = None
    hours_before: float = 0.0
    bytes_before: int = 0

    def at_once(self, cluster: Cluster) -> int:
        """Runs that a cluster runs at a time."""
        jobs = (work.planned.job for work in self.works)
        most = concurrency(jobs, cluster, self.trials_per_gpu) * self.pack
        return min(self.most_at_once or most, most, len(self.works))

    def check(self, cluster: Cluster) -> None:
        """Refuse what needs no probe to be refused: where all hours are used, or where runs will
        hold more than they may, a checkpoint being written of each.

        Raises:
            PreflightError: it is so.
        """
        allowed, used = self.limits.max_gpu_hours, self.hours_before
        if allowed is not None and used >= allowed:
            raise PreflightError(
                f"{used:.3g} hours are used, and --max-gpu-hours allows {allowed:g}",
                mend="allow more, or leave what is not trained yet",
            )
        self._check_disk(cluster)

    def _check_disk(self, cluster: Cluster) -> None:
        limit = self.limits.max_disk_gb
        if limit is None:
            return
        written = sorted(work.planned.plan.checkpoint_bytes for work in self.works)
        needed = self.bytes_before + sum(work.load.disk_bytes for work in self.works)
        needed += sum(written[-self.at_once(cluster) :])
        if needed > limit * GB:
            raise PreflightError(
                f"the runs would hold about {needed / GB:.3g} GB, a checkpoint being written "
                f"included, and --max-disk allows {limit:g}",
                mend="vary less, or allow more",
            )

    def estimated(
        self, cluster: Cluster, heed: Callable[[], None], stream: TextIO
    ) -> SweepEstimateRecord | None:
        """What the runs will take on a cluster that this process is connected to; None where nobody
        has asked.

        Args:
            cluster: the cluster.
            heed: called again and again meanwhile; raises where the probes are to end.
            stream: where people read.

        Raises:
            PreflightError: a probe failed, or found no room in time.
        """
        if not self.limits.needs_probe:
            return None
        try:
            estimate = self._estimate(cluster, heed, stream)
        except KeyboardInterrupt:
            self.note("interrupted while it probed: nothing was started", stream)
            raise
        self.show(estimate, stream)
        return estimate

    def check_hours(self, estimate: SweepEstimateRecord | None) -> None:
        """Refuse runs that will take more hours than they may.

        Raises:
            PreflightError: they will.
        """
        if estimate is None:
            return
        limit, used = self.limits.max_gpu_hours, self.hours_before
        if limit is None or used + estimate.hours <= limit or used >= limit:  # told by `check`
            return
        before = f", after {used:.3g} that are used" if used else ""
        raise PreflightError(
            f"the trials would take about {estimate.hours:.3g} {estimate.unit}{before}, and "
            f"--max-gpu-hours allows {limit:g}",
            mend="vary less, train shorter, or allow more",
        )

    def _estimate(
        self, cluster: Cluster, heed: Callable[[], None], stream: TextIO
    ) -> SweepEstimateRecord:
        at_once = self.at_once(cluster)
        if cluster.address is None and (warning := busy_machine(os.getloadavg()[0], cluster)):
            self.note(warning, stream)
        probes, device = self._probes(cluster, at_once, heed, stream)
        packs = packs_of((work.planned.job for work in self.works), self.pack)
        size_of = {place: len(pack) for pack in packs for place in pack}
        trials = tuple(
            self._trial(work, probes, cluster, size_of[place])
            for place, work in enumerate(self.works)
        )
        return SweepEstimateRecord(
            attempt=1,
            device=device,
            at_once=at_once,
            unit=unit_of((work.planned.job for work in self.works), cluster),
            seconds=makespan([trial.seconds for trial in trials], at_once),
            hours=sum(trial.hours for trial in trials),
            disk_bytes=sum(trial.disk_bytes for trial in trials),
            price_per_hour=self.limits.price_per_hour,
            trials=trials,
        )

    def _probes(
        self, cluster: Cluster, at_once: int, heed: Callable[[], None], stream: TextIO
    ) -> tuple[list[Probe], str]:
        """What was timed, and on which device."""
        from resnet_cluster.cluster.probing import ProbeOrder, ProbeRoom, run_probes

        loads = [work.load for work in self.works]
        wanted = wanted_probes(loads)
        planned = [self.works[each.place].planned for each in wanted]
        orders = [
            ProbeOrder(job=each.job, dataset_folder=each.manifest.folder, side=want.side)
            for each, want in zip(planned, wanted, strict=True)
        ]
        room = ProbeRoom(
            cluster=cluster,
            at_once=at_once,
            trials_per_gpu=self.trials_per_gpu,
            pack=self.pack,
            storage=self.storage,
            tell=lambda text: self.note(text, stream),
            heed=heed,
        )
        timings = run_probes(orders, room)
        probes = [
            Probe(
                group=loads[want.place].group,
                train_flops=want.flops,
                flops=loads[want.place].flops,
                start_s=timing.start_s,
                step_s=timing.step_s,
                image_s=timing.image_s,
                checkpoint_s=timing.checkpoint_s,
            )
            for want, timing in zip(wanted, timings, strict=True)
        ]
        return probes, timings[0].device

    def _trial(
        self, work: Work, probes: Sequence[Probe], cluster: Cluster, pack: int
    ) -> TrialEstimate:
        job = work.planned.job
        estimate = estimate_run(work.load, probes)
        return TrialEstimate(
            key=work.planned.plan.key,
            name=job.name,
            seconds=estimate.seconds,
            hours=hours_of(job, estimate.held_s, cluster, self.trials_per_gpu, pack),
            disk_bytes=estimate.disk_bytes,
        )


def busy_machine(load: float, cluster: Cluster) -> str:
    """What to say of a machine whose cores others keep busy; nothing of one that is free.

    Args:
        load: its load average over a minute: this command's own start is less than one of it.
        cluster: the machine.
    """
    if load <= cluster.num_cpus:
        return ""
    return (
        f"warning: this machine is busy with other work (load {load:.1f} on {cluster.num_cpus} "
        "cores), and what is timed now says little of what it takes on a free one"
    )


def estimated_alone(pricing: Pricing, address: str | None) -> SweepEstimateRecord | None:
    """What runs will take, where nothing is started: a cluster is joined or begun for the probes.

    Raises:
        PreflightError: a probe failed, or found no room in time.
        ClusterUnreachableError: no cluster answers at the address.
    """
    stop = StopRequest()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, real_err = stack.enter_context(noise_in(folder / NOISE_NAME))
        stack.enter_context(signals_to(stop, at_most=1))
        cluster = stack.enter_context(connected(chosen_address(address)))
        stack.enter_context(signals_to(stop))  # Ray has set its own meanwhile
        stop.heed()
        return pricing.estimated(cluster, stop.heed, real_err)
