"""What a sweep uses: hours by given seconds, disk by real files, and a killed driver's note."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories import make_run_record
from tiny_runs import tiny_job

from resnet_cluster.cluster import metering
from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.key_claim import give_key
from resnet_cluster.cluster.limits import Limits
from resnet_cluster.cluster.metering import (
    Meter,
    folder_bytes,
    hours_of,
    hours_used,
    outcomes_so_far,
    unit_of,
)
from resnet_cluster.cluster.sweep_order import SweepOptions, TrialOrder
from resnet_cluster.results import (
    AttemptEnded,
    EventLog,
    RunState,
    SweepPlanRecord,
    SweepRecord,
    SweepTrial,
    load_sweep,
)
from resnet_cluster.spec import JobSpec

CPU = Cluster(address=None, num_cpus=2, num_gpus=0, num_nodes=1)
GPUS = Cluster(address="h:1", num_cpus=32, num_gpus=4, num_nodes=1)
KEYS = ["a" * 64, "b" * 64]


def job(**resources: Any) -> JobSpec:
    changes = {f"resources.{key}": value for key, value in resources.items()}
    return JobSpec.model_validate(tiny_job({"resources.workers": 1} | changes))


@pytest.fixture
def sweep_dir(tmp_path: Path) -> Path:
    """A sweep of two trials that have begun, each with a file of 1,000 bytes."""
    folder = tmp_path / "s-1"
    content = job().model_dump(mode="json")
    EventLog(folder).record(
        SweepRecord(
            sweep_id="s-1",
            name="tiny_sweep",
            job=content,
            dataset_name="digits",
            dataset_sha256="d" * 64,
            training_semantics=1,
            command="ablate",
        )
    )
    trials = tuple(SweepTrial(name=key[0], key=key, point={}, seed=0) for key in KEYS)
    EventLog(folder).record(SweepPlanRecord(number=1, axes={}, trials=trials, command="ablate"))
    for place, key in enumerate(KEYS):
        run_dir = tmp_path / f"r-{place}"
        EventLog(run_dir).record(make_run_record(job(), run_id=run_dir.name, key=key))
        (run_dir / "weights.pt").write_bytes(bytes(1000))
        give_key(tmp_path, key, run_dir.name)
    return folder


def orders(sweep_dir: Path, made: JobSpec) -> list[TrialOrder]:
    return [
        TrialOrder(
            place=place,
            job=made,
            dataset_folder=Path("/data/digits"),
            num_epochs=3,
            run_dir=sweep_dir.parent / f"r-{place}",
            record=None,
        )
        for place in range(2)
    ]


def meter(sweep_dir: Path, *, attempt: int = 1, cluster: Cluster = CPU, **limits: float) -> Meter:
    options = SweepOptions(limits=Limits(**limits))
    return Meter(sweep_dir, attempt, orders(sweep_dir, job()), options, cluster)


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "LOOK_EVERY_S", 0.0)


@pytest.mark.parametrize(
    ("cluster", "per_gpu", "resources", "unit", "hours"),
    [
        (CPU, 1, {}, "worker-hours", 0.5),
        (CPU, 1, {"workers": 2}, "worker-hours", 1.0),
        (GPUS, 1, {}, "GPU-hours", 0.5),
        (GPUS, 4, {}, "GPU-hours", 0.125),
        (GPUS, 1, {"workers": 4}, "GPU-hours", 2.0),
        (GPUS, 1, {"gpu": "no"}, "worker-hours", 0.5),
    ],
)
def test_half_an_hour_of_a_trial(
    cluster: Cluster, per_gpu: int, resources: dict[str, Any], unit: str, hours: float
) -> None:
    made = job(**resources)
    assert unit_of([made], cluster) == unit
    assert hours_of(made, 1800, cluster, per_gpu) == pytest.approx(hours)


def test_a_limit_of_hours_is_reached_by_all_trials_together(sweep_dir: Path) -> None:
    measured = meter(sweep_dir, max_gpu_hours=1.0)
    assert measured.look({0: 1800.0}) == ""
    assert measured.look({0: 1800.0, 1: 1799.0}) == ""
    assert measured.look({0: 1800.0, 1: 1800.0}) == "1 of 1 worker-hours are used"


def test_a_limit_of_disk_is_reached_by_the_files_of_all_trials(sweep_dir: Path) -> None:
    held = sum(folder_bytes(sweep_dir.parent / f"r-{place}") for place in range(2))
    assert held > 2000
    assert meter(sweep_dir, max_disk_gb=(held + 1) / 1e9).look({0: 1.0}) == ""
    reached = meter(sweep_dir, max_disk_gb=held / 1e9).look({0: 1.0})
    assert reached.endswith("GB of disk are used")


def test_an_attempt_leaves_what_it_took(sweep_dir: Path) -> None:
    measured = meter(sweep_dir)
    measured.look({0: 3600.0, 1: 1800.0})
    measured.close()
    sweep = load_sweep(sweep_dir)
    assert sweep is not None
    (outcome,) = sweep.outcomes
    assert (outcome.attempt, outcome.unit, outcome.hours) == (1, "worker-hours", 1.5)
    taken = {each.run_id: each.seconds for each in outcome.trials}
    assert taken == {"r-0": 3600, "r-1": 1800}
    assert outcome.disk_bytes == sum(
        path.stat().st_size for path in sweep_dir.parent.glob("r-*/**/*") if path.is_file()
    )
    assert not list(sweep_dir.glob("usage-*"))
    again = meter(sweep_dir, attempt=2, max_gpu_hours=2.0)
    assert again.look({0: 1799.0}) == ""
    assert again.look({0: 1801.0}).startswith("2 of 2 worker-hours")


def test_a_folder_is_looked_at_again_while_its_trial_runs(
    sweep_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def counting(folder: Path) -> int:
        seen.append(folder.name)
        return 1

    monkeypatch.setattr(metering, "folder_bytes", counting)
    measured = meter(sweep_dir)
    for seconds in (1.0, 2.0, 3.0):
        measured.look({0: 5.0, 1: seconds})
    assert seen == ["r-0", "r-1", "r-1", "r-1"]


def test_a_killed_drivers_last_note_counts_once_its_attempt_has_ended(
    sweep_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **more: object) -> None:
        raise PermissionError

    killed = meter(sweep_dir)
    killed.look({0: 3600.0})
    assert hours_used(sweep_dir) == 0  # it may be alive
    assert list(sweep_dir.glob("usage-001.json"))
    assert [outcome.hours for outcome in outcomes_so_far(sweep_dir)] == [1]
    kept = (sweep_dir / "usage-001.json").read_bytes()
    EventLog(sweep_dir).record(AttemptEnded(attempt=1, state=RunState.LOST))
    assert hours_used(sweep_dir) == 1
    assert [outcome.hours for outcome in outcomes_so_far(sweep_dir)] == [1]
    assert not list(sweep_dir.glob("usage-*"))
    (sweep_dir / "usage-001.json").write_bytes(kept)
    monkeypatch.setattr(Path, "unlink", refuse)  # a storage that may only be read
    assert [outcome.hours for outcome in outcomes_so_far(sweep_dir)] == [1]
    assert list(sweep_dir.glob("usage-001.json"))
    assert hours_used(sweep_dir) == 1


def test_a_note_that_is_no_note_is_passed_over(sweep_dir: Path) -> None:
    EventLog(sweep_dir).record(AttemptEnded(attempt=1, state=RunState.LOST))
    (sweep_dir / "usage-001.json").write_text("{")
    assert hours_used(sweep_dir) == 0


def test_files_that_vanish_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(5))
    (tmp_path / "a" / "link").symlink_to(tmp_path / "nowhere")
    assert folder_bytes(tmp_path) == 5 + (tmp_path / "a" / "link").lstat().st_size
    assert folder_bytes(tmp_path / "gone") == 0
