"""A network on real images, through our path and through PIL and torchvision's transforms."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_jobs import final_weights, make_photo_job, make_tiny_job, train

from resnet_cluster.data import load_manifest
from resnet_cluster.evaluation import Parity
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import LocalContext
from resnet_cluster.training.parity import measure_parity


def _measured(job: JobSpec, dataset: Path, run_dir: Path, limit: int | None = None) -> Parity:
    return measure_parity(
        job,
        load_manifest(str(dataset)),
        final_weights(run_dir),
        LocalContext(run_dir=run_dir, loader_threads=2),
        limit=limit,
    )


@pytest.mark.parametrize(
    "normalize", ["pixel_mean", "channel_mean", "channel_mean_std", "torchvision"]
)
def test_of_raw_squares_nothing_differs(few_digits: Path, tmp_path: Path, normalize: str) -> None:
    job = make_tiny_job({"data.normalize": normalize})
    _, journal = train(job, few_digits, tmp_path)
    found = _measured(job, few_digits, tmp_path)
    assert found.num_images == 70
    assert found.pixel_difference == 0
    assert found.max_logit_difference < 1e-4  # sums in another order
    assert found.agreement == 100
    assert found.top1_err == found.reference_top1_err
    assert found.top1_err == pytest.approx(journal.finals[0].score.top1_err)


def test_photographs_come_to_the_same_within_a_twentieth_of_a_grey_level(
    photos: Path, tmp_path: Path
) -> None:
    job = make_photo_job()
    _, journal = train(job, photos, tmp_path)
    seen: list[tuple[int, int]] = []
    found = measure_parity(
        job,
        load_manifest(str(photos)),
        final_weights(tmp_path),
        LocalContext(run_dir=tmp_path, loader_threads=2),
        limit=None,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (16, 16)
    assert found.num_images == 16
    assert 0 <= found.pixel_difference < 0.05
    assert found.logit_difference < 0.01
    assert found.top1_err == pytest.approx(journal.finals[0].score.top1_err)
    assert _measured(job, photos, tmp_path, limit=5).num_images == 5
