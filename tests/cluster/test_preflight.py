"""A job that the cluster can never hold is refused, and the mend is one that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from factories import make_job
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.cluster.connection import Cluster
from resnet_cluster.cluster.preflight import check_resources, check_space, takes_gpu
from resnet_cluster.errors import PreflightError
from resnet_cluster.spec import JobSpec


def asking(workers: int, *, cpus_per_worker: int = 1, gpu: str = "auto") -> JobSpec:
    """A job that asks for so much."""
    return make_job(
        {
            "resources.workers": workers,
            "resources.cpus_per_worker": cpus_per_worker,
            "resources.gpu": gpu,
        }
    )


def offering(num_cpus: int, num_gpus: int = 0, address: str | None = None) -> Cluster:
    """A cluster that has so much."""
    return Cluster(address=address, num_cpus=num_cpus, num_gpus=num_gpus, num_nodes=1)


@pytest.mark.parametrize(
    ("job", "cluster", "mend"),
    [
        (asking(3), offering(2), "add `--workers 2`"),
        (asking(3, cpus_per_worker=2), offering(5), "add `--workers 2`"),
        (asking(1, cpus_per_worker=4), offering(2), "lower resources.cpus_per_worker"),
        (asking(4), offering(64, 2), "add `--workers 2`"),
        (asking(1, gpu="yes"), offering(64), "`--set resources.gpu=no`"),
        (asking(4), offering(3, 8), "add `--workers 3`"),
    ],
)
def test_refused(job: JobSpec, cluster: Cluster, mend: str) -> None:
    with pytest.raises(PreflightError) as refused:
        check_resources(job, cluster)
    assert mend in refused.value.mend
    assert "this machine" in refused.value.message


def test_a_named_cluster_is_named() -> None:
    with pytest.raises(PreflightError, match=re.escape("the cluster at 10.0.0.1:6379")):
        check_resources(asking(3), offering(2, address="10.0.0.1:6379"))


@given(
    workers=st.integers(1, 20),
    cpus=st.integers(1, 4),
    gpu=st.sampled_from(["auto", "yes", "no"]),
    num_cpus=st.integers(0, 40),
    num_gpus=st.integers(0, 20),
)
def test_what_is_let_through_fits_and_the_mend_is_let_through(
    workers: int, cpus: int, gpu: str, num_cpus: int, num_gpus: int
) -> None:
    job = asking(workers, cpus_per_worker=cpus, gpu=gpu)
    cluster = offering(num_cpus, num_gpus)
    needs_gpu = gpu == "yes" or (gpu == "auto" and num_gpus > 0)
    assert takes_gpu(job, cluster) is needs_gpu
    fits = workers * cpus <= num_cpus and (not needs_gpu or workers <= num_gpus)
    if fits:
        check_resources(job, cluster)
        return
    with pytest.raises(PreflightError) as refused:
        check_resources(job, cluster)
    if proposed := re.search(r"--workers (\d+)", refused.value.mend):
        check_resources(asking(int(proposed[1]), cpus_per_worker=cpus, gpu=gpu), cluster)


def test_a_disk_without_room(tmp_path: Path) -> None:
    check_space(tmp_path / "runs", 1000)
    with pytest.raises(PreflightError) as refused:
        check_space(tmp_path / "runs", 10**18)
    assert str(tmp_path / "runs") in refused.value.message
    assert "RESNET_CLUSTER_RUNS" in refused.value.mend
