"""Training on photographs of many sizes, and on a disk that has lost a part of some of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_jobs import Journal, assert_same, final_weights, last_state, make_photo_job, train

from resnet_cluster.data import load_manifest
from resnet_cluster.data.beton import read_index
from resnet_cluster.errors import IntegrityError
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import BadSample, loop


def photo_job(**changes: Any) -> JobSpec:
    """Two epochs of four steps, at 32 pixels and then at 64."""
    grow = {"from_size": 32, "begin": 0, "end": 4}
    return make_photo_job(
        {
            "data.augment": {"pad": 0, "flip": True, "color": "pca"},
            "data.crop": {"kind": "random_resized", "size": 64, "grow": grow},
            "train.iterations": 8,
            **changes,
        }
    )


def test_a_training_goes_on_where_it_was_though_its_crops_grow(
    photos: Path, tmp_path: Path
) -> None:
    job = photo_job()
    outcome, journal = train(job, photos, tmp_path / "whole")
    assert outcome.state == "SUCCEEDED"
    assert [epoch.train.num_images for epoch in journal.epochs] == [64, 64]
    assert journal.finals[0].score.num_images == 16
    stops = iter([False, True])
    stopped, _ = train(
        job, photos, tmp_path / "cut", checkpoint_every_steps=3, stop_requested=lambda: next(stops)
    )
    assert stopped.state == "CANCELLED"
    assert 0 < stopped.step < 8
    train(job, photos, tmp_path / "cut")
    assert_same(last_state(tmp_path / "cut"), last_state(tmp_path / "whole"))
    assert_same(final_weights(tmp_path / "cut"), final_weights(tmp_path / "whole"))


def test_the_papers_jitter_trains(photos: Path, tmp_path: Path) -> None:
    jitter = {"kind": "shorter_side_jitter", "size": 56, "shorter_side": [64, 120]}
    job = photo_job(**{"data.crop": jitter, "data.normalize": "channel_mean"})
    outcome, journal = train(job, photos, tmp_path)
    assert outcome.state == "SUCCEEDED"
    assert len(journal.epochs) == 2


@pytest.fixture
def spoilt(photos: Path, tmp_path: Path) -> Path:
    """The photographs, three of which to train on are no longer JPEG."""
    folder = shutil.copytree(photos, tmp_path / "spoilt")
    index = read_index(folder / "train.beton")
    with (folder / "train.beton").open("r+b") as file:
        for place in (5, 20, 41):
            file.seek(int(index.pointers[place]))
            file.write(b"\0" * 100)
    return folder


def bad_places(journal: Journal) -> list[int]:
    return [report.place for report in journal.reports if isinstance(report, BadSample)]


def test_damaged_photographs_are_named_once_and_the_training_goes_on(
    spoilt: Path, tmp_path: Path
) -> None:
    outcome, journal = train(photo_job(), spoilt, tmp_path / "run")
    assert outcome.state == "SUCCEEDED"
    assert sorted(bad_places(journal)) == [5, 20, 41]
    assert load_manifest(str(spoilt)).train.num_images == 64  # all of them are in each epoch


def test_a_disk_that_has_lost_too_many_ends_the_training(
    spoilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_BAD_SAMPLES", 2)
    with pytest.raises(IntegrityError, match="more than 2 training images are damaged"):
        train(photo_job(), spoilt, tmp_path / "run")
