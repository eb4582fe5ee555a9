"""What refuses a price, and a sweep that would take more than it may."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import tiny_job

from resnet_cluster.cluster import sweep_launch
from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.limits import Limits
from resnet_cluster.cluster.pricing import Pricing, Work, busy_machine
from resnet_cluster.cluster.probing import Timing, _averaged, _waves
from resnet_cluster.cluster.submission import PlannedJob, plan_on
from resnet_cluster.cluster.sweep_order import SweepOptions
from resnet_cluster.data import load_manifest
from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.results import SweepEstimateRecord, TrialEstimate
from resnet_cluster.spec import JobSource, JobSpec, LoadedJob

CLUSTER = Cluster(address=None, num_cpus=2, num_gpus=0, num_nodes=1)


@pytest.mark.parametrize("option", ["--price", "--max-gpu-hours", "--max-disk"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_not_above_nothing_is_refused(option: str, value: float) -> None:
    field = {
        "--price": "price_per_hour",
        "--max-gpu-hours": "max_gpu_hours",
        "--max-disk": "max_disk_gb",
    }[option]
    with pytest.raises(UsageError, match=f"{option} .* is not above 0"):
        Limits(**{field: value}).check()
    Limits(**{field: 1e-9}).check()


def test_disk_alone_needs_no_probe() -> None:
    assert not Limits(max_disk_gb=1.0).needs_probe
    assert Limits(is_wanted=True).needs_probe
    assert Limits(price_per_hour=1.0).needs_probe
    assert Limits(max_gpu_hours=1.0).needs_probe


def test_a_busy_machine_is_warned_of() -> None:
    assert busy_machine(2.0, CLUSTER) == ""
    assert "busy with other work (load 2.5 on 2 cores)" in busy_machine(2.5, CLUSTER)


@pytest.fixture
def planned(digits: Path) -> PlannedJob:
    job = JobSpec.model_validate(tiny_job({"resources.workers": 1}))
    return plan_on(LoadedJob(job, JobSource()), load_manifest(str(digits / "digits")))


def pricing(planned: PlannedJob, tmp_path: Path, **changes: Any) -> Pricing:
    limits = Limits(**{key: changes.pop(key) for key in list(changes) if key.startswith("max_")})
    return Pricing(
        works=(Work(planned), Work(planned), Work(planned)),
        limits=limits,
        storage=tmp_path,
        note=lambda text, stream: None,
        show=lambda estimate, stream: None,
        **changes,
    )


def test_runs_that_would_fill_the_disk(planned: PlannedJob, tmp_path: Path) -> None:
    """Three runs with two checkpoints, weights and predictions each; two write a third one."""
    plan = planned.plan
    records = 12_000 + 3 * 1_000  # of three epochs
    held = plan.storage_bytes - plan.checkpoint_bytes + records
    needed = 3 * held + 2 * plan.checkpoint_bytes
    pricing(planned, tmp_path, max_disk_gb=needed / 1e9).check(CLUSTER)
    with pytest.raises(PreflightError, match="--max-disk allows"):
        pricing(planned, tmp_path, max_disk_gb=(needed - 1) / 1e9).check(CLUSTER)
    others = pricing(planned, tmp_path, max_disk_gb=needed / 1e9, bytes_before=1)
    with pytest.raises(PreflightError, match="--max-disk allows"):
        others.check(CLUSTER)


def estimate(hours: float) -> SweepEstimateRecord:
    trial = TrialEstimate(key="k", name="tiny", seconds=1.0, hours=hours, disk_bytes=1)
    return SweepEstimateRecord(
        attempt=1,
        device="cpu",
        at_once=1,
        unit="GPU-hours",
        seconds=1.0,
        hours=hours,
        disk_bytes=1,
        price_per_hour=2.5,
        trials=(trial,),
    )


def test_hours_of_earlier_attempts_count(planned: PlannedJob, tmp_path: Path) -> None:
    asked = pricing(planned, tmp_path, max_gpu_hours=10.0, hours_before=4.0)
    asked.check(CLUSTER)
    asked.check_hours(None)
    asked.check_hours(estimate(6.0))
    with pytest.raises(PreflightError, match="after 4 that are used, and") as seen:
        asked.check_hours(estimate(6.01))
    assert "about 6.01 GPU-hours" in seen.value.message
    assert "--max-gpu-hours allows 10" in seen.value.message
    assert estimate(6.0).cost() == 15.0
    used_up = pricing(planned, tmp_path, max_gpu_hours=10.0, hours_before=10.0)
    with pytest.raises(PreflightError, match="10 hours are used, and --max-gpu-hours allows 10"):
        used_up.check(CLUSTER)


def test_a_sweep_that_would_take_too_long_is_not_begun(
    planned: PlannedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was timed is a seam here; `test_sweeps` times real trials."""
    monkeypatch.setattr(sweep_launch, "connected", lambda address: contextlib.nullcontext(CLUSTER))
    monkeypatch.setattr(Pricing, "estimated", lambda self, *more: estimate(6.0))
    claimed: list[str] = []

    def claim() -> Any:
        claimed.append("sweep")
        raise AssertionError

    how = sweep_launch.SweepLaunch(
        address=None,
        claim=claim,
        options=SweepOptions(),
        pricing=pricing(planned, tmp_path, max_gpu_hours=5.0),
        display=lambda sweep, out, err: contextlib.nullcontext(lambda place, news: None),
    )
    with pytest.raises(PreflightError, match="about 6 GPU-hours, and --max-gpu-hours allows 5"):
        sweep_launch.launch_sweep((), tmp_path / "runs", how)
    assert not claimed
    assert not list((tmp_path / "runs").glob("s-*"))


def test_an_estimate_that_nobody_asks_for_starts_nothing(
    planned: PlannedJob, tmp_path: Path
) -> None:
    assert pricing(planned, tmp_path).estimated(CLUSTER, lambda: None, sys.stderr) is None


def test_all_crews_are_busy_in_each_wave() -> None:
    assert list(_waves([0, 1, 2, 3, 4], 3)) == [[0, 1, 2], [3, 4, 3]]
    assert list(_waves([7], 2)) == [[7, 7]]


def test_copies_of_a_probe_are_averaged() -> None:
    def timing(step_s: float) -> Timing:
        return Timing(
            device="cpu",
            start_s=step_s,
            step_s=step_s,
            image_s={"single": step_s / 10},
            checkpoint_s=step_s,
        )

    found = _averaged([3, 4, 3], [timing(1.0), timing(5.0), timing(3.0)])
    assert (found[3].step_s, found[4].step_s) == (2.0, 5.0)
    assert found[3].image_s == {"single": pytest.approx(0.2)}
