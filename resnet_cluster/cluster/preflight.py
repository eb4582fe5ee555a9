"""What is refused before a run starts, because it could only fail later and for more money."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from resnet_cluster.cluster.connection import Cluster
from resnet_cluster.errors import PreflightError
from resnet_cluster.spec import JobSpec


def check_resources(job: JobSpec, cluster: Cluster) -> None:
    """Refuse a job that the cluster can never hold: Ray would wait for its resources for ever.

    Raises:
        PreflightError: the mend names the number of workers that fit.
    """
    workers = job.resources.workers
    fitting = cluster.num_cpus // job.resources.cpus_per_worker
    needs, have = f"{workers * job.resources.cpus_per_worker} CPU cores", cluster.num_cpus
    otherwise = "lower resources.cpus_per_worker"
    if takes_gpu(job, cluster) and cluster.num_gpus < fitting:
        fitting = have = cluster.num_gpus
        needs, otherwise = f"{workers} GPUs", "add `--set resources.gpu=no`"
    if workers > fitting:
        fewer = f"add `--workers {fitting}`" if fitting > 0 else otherwise
        raise PreflightError(
            f"{workers} workers need {needs}, and {cluster.place} has {have}",
            mend=f"{fewer}, or name a larger cluster with --address",
        )


def takes_gpu(job: JobSpec, cluster: Cluster) -> bool:
    """Whether each worker takes a GPU."""
    return job.resources.gpu == "yes" or (job.resources.gpu == "auto" and cluster.num_gpus > 0)


def check_own_machine(job: JobSpec) -> None:
    """The same for an embedded cluster, before the seconds that it takes to start.

    Raises:
        PreflightError: the mend names the number of workers that fit.
    """
    cores = len(os.sched_getaffinity(0))
    gpus = torch.cuda.device_count()
    check_resources(job, Cluster(address=None, num_cpus=cores, num_gpus=gpus, num_nodes=1))


def check_space(folder: Path, storage_bytes: int) -> None:
    """Refuse a run whose checkpoints and weights the disk cannot hold.

    Raises:
        PreflightError: too little space is free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < storage_bytes:
        raise PreflightError(
            f"{folder}: {free / 1e6:.1f} MB are free, and the run needs {storage_bytes / 1e6:.1f}",
            mend="free some space, or put RESNET_CLUSTER_RUNS on another disk",
        )
