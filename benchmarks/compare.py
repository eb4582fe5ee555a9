"""How long a comparison of two groups of seeds takes on ImageNet's 50,000 validation images.

    python benchmarks/compare.py

Six runs, three seeds of each of two networks, are written as a cluster leaves them: their events,
and files of predictions of 50,000 images and 1,000 classes, 103 MB each. `compare` is then run in a
process of its own, seven times after one that warms the page cache: it starts, reads the store,
checks the SHA-256 of the files, and resamples seeds and images 10,000 times. Beside it stand
`list`, which starts and reads the store, and the statistics alone, in this process. A figure is the
shortest wall time, to which other work on the machine adds least.

Exit code 0: the whole command takes at most 2 s. 1: it does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_cluster.evaluation import (
    Contents,
    PredictionsWriter,
    predictions_folder,
    seal_predictions,
)
from resnet_cluster.report.pairing import paired
from resnet_cluster.report.resampling import DRAWS, bootstrap, interval
from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    DatasetFacts,
    Errors,
    EvaluationRecord,
    EventLog,
    RunRecord,
    RunState,
)
from resnet_cluster.spec import load_job

ROUNDS, LIMIT_S = 7, 2.0
NUM_IMAGES, NUM_CLASSES, BATCH = 50_000, 1_000, 1_000
SHARES = {18: 0.30, 34: 0.27}
"""Depth, and the share of images that it gets wrong."""
SEEDS = (0, 1, 2)
PROGRAM = Path(sys.executable).with_name("resnet-cluster")
JOB = Path(__file__).parents[1] / "jobs" / "imagenet_r50_paper.yaml"
DATASET = DatasetFacts(
    name="imagenet",
    sha256="1" * 64,
    encoding="jpeg",
    source="imagenet",
    num_classes=NUM_CLASSES,
    image_size=224,
    num_train_images=1_281_167,
    num_holdout_images=0,
    num_test_images=NUM_IMAGES,
)


def make_wrong(depth: int, seed: int) -> NDArray[np.bool_]:
    """Images that a run gets wrong: those that are hard for all, mostly."""
    share = SHARES[depth]
    hardness = np.random.default_rng(0).beta(0.5, 0.5 / share - 0.5, NUM_IMAGES)
    return np.random.default_rng((depth, seed)).random(NUM_IMAGES) < hardness


def write_run(home: Path, depth: int, seed: int, wrong: NDArray[np.bool_]) -> None:
    """A run's events and predictions."""
    job = load_job(JOB).spec.model_dump(mode="json")
    name = f"r{depth}-{seed}"
    shortcut = job["model"] | {"depth": depth, "shortcut": "B"}
    record = RunRecord(
        run_id=f"r-{depth:04d}{seed:04d}",
        name=name,
        key=name,
        job=job | {"name": name, "seed": seed, "model": shortcut},
        dataset=DATASET,
        num_parameters=11_689_512,
        flops=1_814_073_344,
        num_steps=600_000,
        steps_per_epoch=5_004,
        command=f"resnet-cluster submit {JOB}",
    )
    top1_err = 100 * float(wrong.mean())
    errors = Errors(loss=1.0, top1_err=top1_err, top5_err=10.0, num_images=NUM_IMAGES)
    figure = EvaluationRecord(
        protocol="single", split="test", select="final", ema=False, step=600_000, errors=errors
    )
    log = EventLog(home / "runs" / record.run_id)
    begun = AttemptStarted(attempt=1, owner="cluster:1")
    for event in (record, begun, figure, AttemptEnded(attempt=1, state=RunState.SUCCEEDED)):
        log.record(event)
    write_predictions(home / "runs" / record.run_id, wrong)


def write_predictions(run_dir: Path, wrong: NDArray[np.bool_]) -> None:
    """What a network said: its best class is the image's own unless it is wrong."""
    folder, ids = predictions_folder(run_dir, "single", "test", "final"), np.arange(NUM_IMAGES)
    writer = PredictionsWriter(folder, "000-of-001.npy", ids, num_views=1, num_classes=NUM_CLASSES)
    noise = torch.randn(BATCH, NUM_CLASSES, generator=torch.Generator().manual_seed(0))
    for batch in np.split(ids, NUM_IMAGES // BATCH):
        labels = torch.from_numpy(batch % NUM_CLASSES)
        best = (labels + torch.from_numpy(wrong[batch].astype(np.int64))) % NUM_CLASSES
        logits = noise.scatter_add(1, best[:, None], torch.full((BATCH, 1), 20.0))
        writer.add(logits, labels, batch)
        writer.settle(logits.topk(5, dim=1).indices.eq(labels[:, None]), batch)
    contents = Contents(
        protocol="single",
        split="test",
        select="final",
        step=600_000,
        dataset_sha256=DATASET.sha256,
        num_images=NUM_IMAGES,
        num_views=1,
        num_classes=NUM_CLASSES,
        files=(writer.finish(),),
    )
    seal_predictions(folder, contents)


def seconds(home: Path, *words: str) -> tuple[float, str]:
    """Shortest wall time of a command, and what it printed."""
    environment = os.environ | {"RESNET_CLUSTER_HOME": str(home), "NO_COLOR": "1"}
    times, shown = [], ""
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        done = subprocess.run(
            [PROGRAM, *words], env=environment, check=True, capture_output=True, text=True
        )
        times.append(time.perf_counter() - began)
        shown = done.stdout
    return min(times[1:]), shown


def statistics_seconds(groups: list[NDArray[np.bool_]]) -> float:
    """Shortest wall time of all that is counted and resampled."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        first, second = ([100 * float(wrong.mean()) for wrong in group] for group in groups)
        pairs = paired(*groups)
        assert interval(first, second, pairs)
        assert bootstrap(first, second, pairs)
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> int:
    """Measure and judge."""
    groups = [np.stack([make_wrong(depth, seed) for seed in SEEDS]) for depth in SHARES]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for depth, group in zip(SHARES, groups, strict=True):
            for seed, wrong in zip(SEEDS, group, strict=True):
                write_run(home, depth, seed, wrong)
        start, _ = seconds(home, "list")
        whole, shown = seconds(home, "compare", "r18-0", "r34-0")
        _, as_json = seconds(home, "compare", "r18-0", "r34-0", "-o", "json")
    check(json.loads(as_json))
    print(shown)
    alone, passed = statistics_seconds(groups), whole <= LIMIT_S
    print(f"compare: {whole:.2f} s; limit {LIMIT_S} s")
    print(f"of these {DRAWS:,} draws of seeds and images: {alone:.3f} s; list: {start:.2f} s")
    found = {"compare_s": whole, "list_s": start, "statistics_s": alone}
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


def check(content: dict[str, Any]) -> None:
    """That all that is to be timed was done."""
    assert content["bootstrap_draws"] == DRAWS == 10_000
    (pair,) = content["pairs"]
    assert pair["bootstrap"]["over"] == pair["interval"]["over"] == "seeds and images"


if __name__ == "__main__":
    sys.exit(main())
