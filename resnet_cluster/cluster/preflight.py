"""What is refused before a run starts, because it could only fail later and for more money."""

from __future__ import annotations

import shutil
from pathlib import Path

from resnet_cluster.cluster.capacity import Cluster, cpus_per_worker, takes_gpu
from resnet_cluster.errors import PreflightError
from resnet_cluster.planning import Plan
from resnet_cluster.spec import JobSource, JobSpec


def check_resources(job: JobSpec, cluster: Cluster, source: JobSource | None = None) -> None:
    """Refuse a job that the cluster can never hold: Ray would wait for its resources for ever.

    Args:
        job: the job.
        cluster: what there is.
        source: where the job's values were said, so that a refusal names the place.

    Raises:
        PreflightError: the mend names the number of workers that fit.
    """
    workers, cpus = job.resources.workers, cpus_per_worker(job, cluster)
    fitting = cluster.num_cpus // cpus
    needs, have = f"{workers * cpus} CPU cores", cluster.num_cpus
    otherwise = "lower resources.cpus_per_worker"
    if takes_gpu(job, cluster) and cluster.num_gpus <= fitting:
        fitting = have = cluster.num_gpus
        needs, otherwise = f"{workers} GPUs", "add `--set resources.gpu=no`"
    if workers > fitting:
        fewer = f"add `--workers {fitting}`" if fitting > 0 else otherwise
        place = source.where(("resources", "workers")) if source else ""
        raise PreflightError(
            f"{place}: " * bool(place)
            + f"{workers} workers need {needs}, and {cluster.place} has {have}",
            mend=f"{fewer}, or name a larger cluster with --address",
        )


def check_memory(job: JobSpec, plan: Plan, available_bytes: int, *, num_runs: int = 1) -> None:
    """Refuse a job whose images the memory of one machine cannot hold.

    Args:
        job: the job.
        plan: its plan.
        available_bytes: of memory, on the machine that all workers will share.
        num_runs: runs like it at a time, on the same images.

    Raises:
        PreflightError: the mend names what to lower.
    """
    buffers = num_runs * job.resources.workers * plan.loader_bytes
    if buffers + plan.window_bytes <= available_bytes:
        return
    needs = f"{_gib(buffers)} of buffers for its images"
    mend = "lower train.bn_group or --workers"
    if plan.window_bytes:
        needs += f" and {_gib(plan.window_bytes)} for the pages that are shuffled together"
        fitting = (available_bytes - buffers) // (2 * plan.page_bytes)
        if fitting > 0:
            mend = f"set data.shuffle_pages to {fitting} or less"
    raise PreflightError(
        f"the run needs {needs}, and {_gib(available_bytes)} of memory are available", mend=mend
    )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.2f} GiB"


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
