"""How long a report takes on a large store.

    python benchmarks/report.py

Stores of 1,000 and of 100,000 runs, each with ten epochs, its weights and a figure, are written as
SQLite files; their storage is absent, as on a laptop away from its cluster. `report` and `report
--table 6` are then run in processes of their own, three times each, and beside them on an empty
store, whose time is that of Python, of the imports and of the paper's own figures. A figure is the
median wall time.

Exit code 0: at most 0.3 s more than on an empty store for 1,000 runs, and 2 s for 100,000. 1: no.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resnet_cluster.results import DatasetFacts, ResultStore, RunRecord, schema
from resnet_cluster.results.rows import row_of
from resnet_cluster.results.setups import setup_columns
from resnet_cluster.spec import load_job

ROUNDS, NUM_EPOCHS, BLOCK = 3, 10, 5_000
LIMITS_S = {1_000: 0.3, 100_000: 2.0}
PROGRAM = Path(sys.executable).with_name("resnet-cluster")
JOB = Path(__file__).parents[1] / "jobs" / "cifar10_r20.yaml"
START = datetime(2026, 1, 1, tzinfo=UTC)
DATASET = DatasetFacts(
    name="cifar10",
    sha256="c1fa" * 16,
    encoding="pixels",
    source="cifar10",
    num_classes=10,
    image_size=32,
    num_train_images=50_000,
    num_holdout_images=0,
    num_test_images=10_000,
)


def write_store(path: Path, num_runs: int) -> None:
    """A store of so many runs: sixteen experiments, the rest their seeds."""
    ResultStore.open(f"sqlite:///{path}", runs_root=path.parent / "nowhere").close()
    engine = sa.create_engine(f"sqlite:///{path}")
    job = load_job(JOB).spec.model_dump(mode="json")
    with engine.begin() as connection:
        connection.execute(schema.storages.insert(), {"storage_id": 1, "root": "/nowhere/runs"})
        for first in range(0, num_runs, BLOCK):
            rows = range(first, min(first + BLOCK, num_runs))
            connection.execute(schema.runs.insert(), [run_row(n, job) for n in rows])
            connection.execute(schema.attempts.insert(), [attempt_row(n) for n in rows])
            connection.execute(schema.epochs.insert(), [row for n in rows for row in epoch_rows(n)])
            connection.execute(schema.evaluations.insert(), [figure_row(n) for n in rows])
            connection.execute(schema.artefacts.insert(), [weights_row(n) for n in rows])
            connection.execute(schema.events.insert(), [row for n in rows for row in event_rows(n)])
    engine.dispose()


def run_id(number: int) -> str:
    """Of a run."""
    return f"r-{number:08x}"


def run_row(number: int, job: dict[str, Any]) -> dict[str, Any]:
    """A run."""
    depth = (20, 32, 44, 56)[number % 4]
    changed = job | {
        "name": f"run-{number}",
        "seed": number,
        "model": job["model"] | {"depth": depth},
        "train": job["train"] | {"lr": (0.1, 0.2, 0.05, 0.01)[number // 4 % 4]},
    }
    record = RunRecord(
        at=START + timedelta(seconds=number),
        run_id=run_id(number),
        name=f"run-{number}",
        key=f"{number:064x}",
        job=changed,
        dataset=DATASET,
        num_parameters=272_474,
        flops=40_813_184,
        num_steps=64_000,
        steps_per_epoch=390,
        command="resnet-cluster submit jobs/cifar10_r20.yaml",
        git_commit="0123abc",
        versions={"torch": "2.14.1", "training-semantics": "1"},
    )
    return row_of(record, storage_id=1, folder=run_id(number), **setup_columns(record))


def attempt_row(number: int) -> dict[str, Any]:
    """Its attempt."""
    return {
        "run_id": run_id(number),
        "number": 1,
        "started_at": START,
        "training_at": START,
        "ended_at": START,
        "state": "SUCCEEDED",
        "message": "",
        "owner": "laptop:4711",
    }


def errors(name: str, top1_err: float, num_images: int) -> dict[str, Any]:
    """The columns of errors."""
    values = {"loss": 0.5, "top1_err": top1_err, "top5_err": 0.4, "num_images": num_images}
    return {f"{name}_{key}": value for key, value in values.items()}


def epoch_rows(number: int) -> Iterator[dict[str, Any]]:
    """Its epochs."""
    for epoch in range(1, NUM_EPOCHS + 1):
        yield {
            "run_id": run_id(number),
            "epoch": epoch,
            "schema_version": 1,
            "at": START,
            "attempt": 1,
            "step": 390 * epoch,
            "lr": 0.1,
            "train_seconds": 12.5,
            "images_per_second": 4000.0,
            **errors("train", 50.0 - epoch, 50_000),
            **errors("observed_test", 51.0 - epoch, 10_000),
        }


def figure_row(number: int) -> dict[str, Any]:
    """Its figure."""
    return {
        "run_id": run_id(number),
        "protocol": "single",
        "split": "test",
        "select": "final",
        "schema_version": 1,
        "at": START,
        "ema": False,
        "step": 64_000,
        **errors("errors", 7.0 + number % 97 / 50, 10_000),
    }


def weights_row(number: int) -> dict[str, Any]:
    """Its weights."""
    return {
        "run_id": run_id(number),
        "name": "weights",
        "schema_version": 1,
        "at": START,
        "path": "weights.pt",
        "sha256": f"{number:064x}",
        "num_bytes": 1_100_000,
    }


def event_rows(number: int) -> Iterator[dict[str, Any]]:
    """The names of its events."""
    epochs = [f"epoch-{epoch:05d}" for epoch in range(1, NUM_EPOCHS + 1)]
    attempt = [f"attempt-001-{what}" for what in ("started", "training", "ended")]
    for name in ("run", *attempt, *epochs, "evaluation-single-test-final", "artefact-weights"):
        yield {"run_id": run_id(number), "name": name}


def seconds(home: Path, *words: str) -> float:
    """Median wall time of a command."""
    environment = os.environ | {"RESNET_CLUSTER_HOME": str(home), "NO_COLOR": "1"}
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([PROGRAM, *words], env=environment, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> int:
    """Measure and judge."""
    passed = True
    found: dict[str, dict[str, float]] = {}
    for num_runs, limit in LIMITS_S.items():
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            write_store(home / "store.db", num_runs)
            for words in (("report",), ("report", "--table", "6")):
                start = seconds(home / "empty", *words)
                whole = seconds(home, *words)
                what = f"{num_runs:,} runs, {' '.join(words)}"
                found[what] = {"report_s": round(whole, 3), "empty_s": round(start, 3)}
                passed &= whole - start <= limit
                print(f"{what}: {whole:.2f} s, empty {start:.2f} s; limit {limit} s more")
    print(json.dumps(found))
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
