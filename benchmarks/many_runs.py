"""Stores of many runs for benchmarks, written as rows: nothing is trained and no event read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resnet_cluster.results import DatasetFacts, ResultStore, RunRecord, schema
from resnet_cluster.results.rows import row_of
from resnet_cluster.results.setups import setup_columns
from resnet_cluster.spec import load_job

NUM_EPOCHS, BLOCK = 10, 5_000
JOB = Path(__file__).parents[1] / "jobs" / "cifar10_r20.yaml"
START = datetime(2026, 1, 1, tzinfo=UTC)
DATASETS = tuple(
    DatasetFacts(
        name=name,
        sha256=digits * 16,
        encoding="pixels",
        source="cifar10",
        num_classes=10,
        image_size=32,
        num_train_images=50_000,
        num_holdout_images=0,
        num_test_images=10_000,
    )
    for name, digits in (("cifar10", "c1fa"), ("cifar10-again", "a6a1"))
)


def write_store(url: str, num_runs: int, *, num_datasets: int = 1) -> None:
    """A store of so many runs: sixteen experiments on each data set, the rest their seeds.

    Args:
        url: of a database of psycopg or of SQLite that has no tables.
        num_runs: the runs.
        num_datasets: the data sets that share them, at most two.
    """
    ResultStore.open(url, runs_root=Path("/nowhere/runs")).close()
    job = load_job(JOB).spec.model_dump(mode="json")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        insert(connection, schema.storages, [{"storage_id": 1, "root": "/nowhere/runs"}])
        for first in range(0, num_runs, BLOCK):
            numbers = range(first, min(first + BLOCK, num_runs))
            insert(connection, schema.runs, [run_row(n, job, num_datasets) for n in numbers])
            insert(connection, schema.attempts, [attempt_row(n) for n in numbers])
            insert(connection, schema.epochs, [row for n in numbers for row in epoch_rows(n)])
            insert(connection, schema.evaluations, [figure_row(n) for n in numbers])
            insert(connection, schema.artefacts, [weights_row(n) for n in numbers])
            insert(connection, schema.events, [row for n in numbers for row in event_rows(n)])
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")  # as the server does by itself, in time
    engine.dispose()


def insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Rows with the same columns; a server takes a copy, which is many times as quick."""
    if connection.dialect.name != "postgresql":
        connection.execute(table.insert(), rows)
        return
    driver: Any = connection.connection
    columns = ", ".join(f'"{name}"' for name in rows[0])
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row([plain(value) for value in row.values()])


def plain(value: Any) -> Any:
    """A value as the driver copies it: JSON as text."""
    return json.dumps(value) if isinstance(value, dict) else value


def run_id(number: int) -> str:
    """Of a run."""
    return f"r-{number:08x}"


def run_row(number: int, job: dict[str, Any], num_datasets: int) -> dict[str, Any]:
    """A run."""
    depth = (20, 32, 44, 56)[number // 2 % 4]
    changed = job | {
        "name": f"run-{number}",
        "seed": number,
        "model": job["model"] | {"depth": depth},
        "train": job["train"] | {"lr": (0.1, 0.2, 0.05, 0.01)[number // 8 % 4]},
    }
    record = RunRecord(
        at=START + timedelta(seconds=number),
        run_id=run_id(number),
        name=f"run-{number}",
        key=f"{number:064x}",
        job=changed,
        dataset=DATASETS[number % num_datasets],
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
