"""What a cluster has, and what a job takes of it.

Knows nothing of Ray, so that a plan is quick, and of torch only where this machine is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from resnet_cluster.spec import JobSpec


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that this process is connected to."""

    address: str | None
    """None for an embedded one."""
    num_cpus: int
    num_gpus: int
    num_nodes: int
    dashboard: str | None = None
    """URL of the dashboard, which takes jobs; None where there is none."""
    has_sweep: bool = False
    """Whether the driver of a sweep gives back what its trials' workers held."""

    @property
    def needs_cleaner(self) -> bool:
        """Whether what dead workers held would be held for ever: the cluster stays, and nobody
        else gives it back."""
        return self.address is not None and not self.has_sweep

    @property
    def place(self) -> str:
        """What to call it in a message."""
        return f"the cluster at {self.address}" if self.address else "this machine"


def takes_gpu(job: JobSpec, cluster: Cluster) -> bool:
    """Whether each worker takes a GPU."""
    return job.resources.gpu == "yes" or (job.resources.gpu == "auto" and cluster.num_gpus > 0)


def cpus_per_worker(job: JobSpec, cluster: Cluster) -> int:
    """CPU cores of each worker: the job's, or else a GPU's share of the cluster's, or one."""
    if job.resources.cpus_per_worker is not None:
        return job.resources.cpus_per_worker
    if takes_gpu(job, cluster) and cluster.num_gpus:
        return max(1, cluster.num_cpus // cluster.num_gpus)
    return 1


@dataclass(frozen=True, kw_only=True)
class WorkerShare:
    """What each worker of a trial takes."""

    num_cpus: int
    num_gpus: float
    """A part of one, where trials share GPUs."""


def share_of(job: JobSpec, cluster: Cluster, trials_per_gpu: int = 1) -> WorkerShare:
    """What each worker of a trial takes of a cluster, whose GPUs so many trials share."""
    cores = cpus_per_worker(job, cluster)
    if not takes_gpu(job, cluster):
        return WorkerShare(num_cpus=cores, num_gpus=0.0)
    return WorkerShare(num_cpus=max(1, cores // trials_per_gpu), num_gpus=1 / trials_per_gpu)


def concurrency(jobs: Iterable[JobSpec], cluster: Cluster, trials_per_gpu: int = 1) -> int:
    """Trials that a cluster holds at a time, the largest of them taken for all."""
    most = []
    for job in jobs:
        share = share_of(job, cluster, trials_per_gpu)
        slots = cluster.num_cpus // share.num_cpus
        if share.num_gpus:
            slots = min(slots, cluster.num_gpus * trials_per_gpu)
        most.append(slots // job.resources.workers)
    return max(1, min(most, default=1))


def own_machine() -> Cluster:
    """What an embedded cluster will have."""
    import torch

    cores, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    return Cluster(address=None, num_cpus=cores, num_gpus=gpus, num_nodes=1)
