"""A job that the cluster can never hold is refused, and the mend is one that works."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest
from factories import IMAGENET_FACTS, make_job
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.cluster.capacity import Cluster, cpus_per_worker, takes_gpu
from resnet_cluster.cluster.preflight import check_memory, check_resources, check_space
from resnet_cluster.errors import PreflightError
from resnet_cluster.host_memory import available_bytes
from resnet_cluster.planning import Plan, plan
from resnet_cluster.spec import JobSpec, load_job

JOBS = Path(__file__).resolve().parents[2] / "jobs"


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


def test_a_refusal_names_the_line_that_asks(tmp_path: Path) -> None:
    job, source = load_job(JOBS / "imagenet_r50.yaml")
    with pytest.raises(PreflightError) as refused:
        check_resources(job, offering(64, 4), source)
    line = (JOBS / "imagenet_r50.yaml").read_text().splitlines().index("  workers: 8") + 1
    assert refused.value.message.startswith(
        f"{JOBS}/imagenet_r50.yaml:{line}: 8 workers need 8 GPU"
    )
    assert "--workers 4" in refused.value.mend


@pytest.mark.parametrize(
    ("job", "cluster", "cpus"),
    [
        (make_job(), offering(64, 8), 8),
        (make_job(), offering(20, 3), 6),
        (make_job(), offering(2, 8), 1),
        (make_job(), offering(64), 1),
        (make_job({"resources.gpu": "no"}), offering(64, 8), 1),
        (make_job({"resources.cpus_per_worker": 3}), offering(64, 8), 3),
    ],
)
def test_a_worker_has_its_gpus_share_of_the_cores(
    job: JobSpec, cluster: Cluster, cpus: int
) -> None:
    assert cpus_per_worker(job, cluster) == cpus


def photo_plan(**overrides: object) -> tuple[JobSpec, Plan]:
    """On two workers with 2,048 images each in a group, and 1,000 pages of 8 MiB together."""
    changes = {"data.shuffle_pages": 1000, "resources.workers": 2} | overrides
    loaded = load_job(
        JOBS / "imagenet_r50_paper.yaml",
        overrides=[f"{key}={value}" for key, value in changes.items()],
    )
    return loaded.spec, plan(loaded.spec, IMAGENET_FACTS, source=loaded.source)


def test_what_memory_cannot_hold_is_refused_with_what_it_can() -> None:
    job, planned = photo_plan()
    buffers = 2 * 5 * 32 * 3 * 224 * 224
    window = 2 * 1000 * (8 << 20)
    check_memory(job, planned, buffers + window)
    with pytest.raises(PreflightError) as refused:
        check_memory(job, planned, buffers + window // 2)
    assert "15.62 GiB for the pages" in refused.value.message
    assert "data.shuffle_pages to 500" in refused.value.mend
    check_memory(*photo_plan(**{"data.shuffle_pages": 500}), buffers + window // 2)
    with pytest.raises(PreflightError) as refused:
        check_memory(job, planned, buffers // 2)
    assert "train.bn_group" in refused.value.mend
    # Runs at a time have buffers of their own, and share the pages.
    check_memory(job, planned, 2 * buffers + window, num_runs=2)
    with pytest.raises(PreflightError):
        check_memory(job, planned, buffers + window, num_runs=2)


def test_a_window_of_the_whole_file_is_mended_by_one_that_fits() -> None:
    job, planned = photo_plan(**{"data.shuffle_pages": 10**6})
    available = 55 << 30
    with pytest.raises(PreflightError) as refused:
        check_memory(job, planned, available)
    proposed = re.search(r"data\.shuffle_pages to (\d+)", refused.value.mend)
    assert proposed
    check_memory(*photo_plan(**{"data.shuffle_pages": int(proposed[1])}), available)


def test_a_window_is_no_larger_than_the_file() -> None:
    assert photo_plan(**{"data.shuffle_pages": 10**6})[1].window_bytes == 110 << 30
    assert photo_plan(**{"data.shuffle_pages": 0})[1].window_bytes == 0


GIB = 1 << 30


@pytest.mark.parametrize(
    ("files", "cgroup", "expected"),
    [
        ({}, "", 16 * GIB),
        ({"memory.max": f"{GIB}"}, "0::/", GIB),
        ({"memory.max": "max"}, "0::/", 16 * GIB),
        ({"memory.max": "max", "a/b/memory.max": f"{2 * GIB}"}, "0::/a/b", 2 * GIB),
        ({"memory/memory.limit_in_bytes": f"{3 * GIB}"}, "4:memory:/", 3 * GIB),
        ({"memory/x/memory.limit_in_bytes": f"{GIB}"}, "4:cpu,memory:/x", GIB),
        ({"memory/x/memory.limit_in_bytes": f"{2**63 - 4096}"}, "4:memory:/x", 16 * GIB),
    ],
)
def test_the_memory_that_is_there(
    tmp_path: Path, files: dict[str, str], cgroup: str, expected: int
) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:   16777216 kB\n")
    (proc / "self/cgroup").write_text(f"1:cpu:/x\n{cgroup}\n" if cgroup else "")
    for name, content in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(content)
    assert available_bytes(proc, groups) == expected


def test_this_machines_memory() -> None:
    assert 1 << 26 < available_bytes() <= psutil.virtual_memory().total
