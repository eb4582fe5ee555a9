"""What `--dry-run` prints: one object for programs, lines for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_cluster.data.manifest import Manifest
from resnet_cluster.data.manifest_fields import ManifestFields, SourceRecord, SplitRecord
from resnet_cluster.planning import DataFacts, Plan, as_json, as_rows, plan
from resnet_cluster.spec import JobSpec, load_job, load_resolved

JOBS = Path(__file__).resolve().parents[2] / "jobs"
CIFAR10 = DataFacts(
    sha256="c" * 64, num_classes=10, image_size=32, num_train_images=50_000, num_test_images=10_000
)


@pytest.fixture(scope="module")
def short() -> tuple[Plan, JobSpec]:
    job = load_job(JOBS / "cifar10_r20.yaml", overrides=["train.epochs=2"], workers=2).spec
    return plan(job, CIFAR10), job


def test_json(short: tuple[Plan, JobSpec]) -> None:
    text = json.dumps(as_json(*short), allow_nan=False)
    got = json.loads(text)
    assert got["schema_version"] == 1
    assert load_resolved(got["job"]) == short[1]
    expected = {
        "num_parameters": 269_722,
        "flops": 40_551_040,
        "global_batch_size": 128,
        "batch_size_per_worker": 64,
        "num_steps": 780,
        "num_epochs": 2,
        "steps_per_epoch": 390,
        "milestones": [390, 585],
        "warmup_steps": 0,
        "micro_batches": 2,
        "micro_batches_per_worker": [1, 1],
        "num_train_images": 50_000,
        "num_holdout_images": 0,
        "num_test_images": 10_000,
        "resources": {"workers": 2, "cpus_per_worker": 1, "gpus_per_worker": 0},
    }
    assert {key: got[key] for key in expected} == expected


def test_rows(short: tuple[Plan, JobSpec]) -> None:
    rows = dict(as_rows(*short))
    assert rows["run"] == "cifar10_r20"
    assert "269,722 parameters" in rows["network"]
    assert "50,000 images to train on, 10,000 to test on" in rows["data"]
    assert rows["batch"] == "128 images a step, normalised in groups of 64; 64 on each worker"
    assert rows["length"] == (
        "780 steps: 2 epochs of 390; the job file's own length is 64000 iterations"
    )
    assert rows["milestones"] == "the rate drops at step 390, 585"
    assert rows["resources"] == "2 workers, each with 1 CPU"
    assert "warm-up" not in rows
    assert all(value.isprintable() for value in rows.values())


def test_rows_of_another_job() -> None:
    overrides = [
        "train.global_batch_size=192",
        "train.warmup={kind: linear, length: 390}",
        "data.holdout=5000",
        "model.shortcut=none",
    ]
    job = load_job(JOBS / "cifar10_r20.yaml", overrides=overrides, workers=2).spec
    rows = dict(as_rows(plan(job, CIFAR10, has_gpu=True), job))
    assert rows["network"].startswith("cifar 20 layers, plain, v1: ")
    assert "45,000 images to train on, 5,000 held out, 10,000 to test on" in rows["data"]
    assert "64 or 128 on each worker" in rows["batch"]
    assert rows["warm-up"] == "390 steps"
    assert rows["resources"] == "2 workers, each with 1 CPU and 1 GPU"


def test_facts_of_a_manifest() -> None:
    counts = {"train": (700, 737), "test": (180, 180)}
    splits = {
        name: SplitRecord(num_images=sum(each), class_counts=each, num_bytes=1, sha256="a" * 64)
        for name, each in counts.items()
    }
    fields = ManifestFields(
        name="two",
        source=SourceRecord(kind="digits", description="digits", sha256="b" * 64),
        encoding="digits",
        image_size=24,
        requested_size=None,
        classes=("zero", "one"),
        train=splits["train"],
        test=splits["test"],
        test_split="holdout",
        seed=0,
        channel_mean=(1.0, 1.0, 1.0),
        channel_std=(1.0, 1.0, 1.0),
        mean_sha256="c" * 64,
        ffcv_version="1.0.2",
    )
    manifest = Manifest.sealed(fields)
    assert DataFacts.of(manifest) == DataFacts(
        sha256=manifest.sha256,
        num_classes=2,
        image_size=24,
        num_train_images=1_437,
        num_test_images=360,
        train_bytes=1,
        page_bytes=1 << 21,
    )
