"""Kept predictions against numpy, scipy and scikit-learn, whole and damaged."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.metrics import top_k_accuracy_score

from resnet_cluster.errors import IntegrityError
from resnet_cluster.evaluation import (
    Contents,
    Predictions,
    PredictionsWriter,
    evaluate_ensemble,
    read_contents,
    seal_predictions,
    wrong_images,
)
from resnet_cluster.files import sha256_of

NUM_IMAGES, NUM_VIEWS = 23, 3


def make_logits(seed: int, num_classes: int, *, spread: float = 3.0) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    shape = (NUM_IMAGES, NUM_VIEWS, num_classes)
    logits: NDArray[np.float32] = (spread * draw.standard_normal(shape)).astype(np.float32)
    return logits


def make_labels(num_classes: int) -> NDArray[np.int64]:
    return np.random.default_rng(99).integers(0, num_classes, NUM_IMAGES)


def keep(
    folder: Path, logits: NDArray[np.float32], *, world_size: int = 1, average: str = "softmax"
) -> Path:
    """Write a network's scores as ranks do: a view of all images after the other, in any order."""
    num_classes = logits.shape[2]
    labels, files = make_labels(num_classes), []
    for rank in range(world_size):
        own = np.arange(rank, NUM_IMAGES, world_size)
        writer = PredictionsWriter(
            folder,
            f"{rank:03d}-of-{world_size:03d}.npy",
            own,
            num_views=NUM_VIEWS,
            num_classes=num_classes,
        )
        for view in range(NUM_VIEWS):
            for ids in np.array_split(own[::-1].copy(), min(4, len(own))):
                writer.add(
                    torch.from_numpy(logits[ids, view]),
                    torch.from_numpy(labels[ids]),
                    ids,
                    first_view=view,
                )
        means = mean_of(logits, average)[own]
        best = torch.from_numpy(means).topk(min(5, num_classes), dim=1).indices
        writer.settle(best.eq(torch.from_numpy(labels[own])[:, None]), own)
        files.append(writer.finish())
    seal_predictions(folder, make_contents(num_classes).model_copy(update={"files": tuple(files)}))
    return folder


def make_contents(num_classes: int) -> Contents:
    return Contents(
        protocol="p",
        split="test",
        select="final",
        step=7,
        dataset_sha256="ab",
        num_images=NUM_IMAGES,
        num_views=NUM_VIEWS,
        num_classes=num_classes,
    )


def mean_of(logits: NDArray[np.float32], average: str) -> NDArray[np.float64]:
    function = softmax if average == "softmax" else log_softmax
    mean: NDArray[np.float64] = function(logits.astype(np.float64), axis=2).mean(axis=1)
    return mean


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("num_classes", [3, 10])
def test_the_five_best_come_back_in_float32(
    tmp_path: Path, world_size: int, num_classes: int
) -> None:
    logits = make_logits(0, num_classes)
    kept = Predictions(keep(tmp_path / "p", logits, world_size=world_size))
    found = kept.scores(4, 20)
    exact = log_softmax(logits[4:20].astype(np.float64), axis=2)
    assert found.labels.tolist() == make_labels(num_classes)[4:20].tolist()
    apart = np.abs(found.log_probs.numpy() - exact)
    order = np.argsort(-exact, axis=2)
    best = np.take_along_axis(apart, order[..., :5], axis=2)
    rest = np.take_along_axis(apart / np.abs(exact), order[..., 5:], axis=2)
    assert best.max() < 2e-6
    assert rest.max(initial=0) < 2**-10
    if num_classes > 5:
        assert rest.max() > 1e-4


@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_an_ensemble_is_what_scikit_learn_makes_of_all_scores(tmp_path: Path, average: Any) -> None:
    logits = [make_logits(seed, 10) for seed in range(3)]
    kept = [
        Predictions(keep(tmp_path / str(place), own, world_size=1 + place, average=average))
        for place, own in enumerate(logits)
    ]
    seen: list[tuple[int, int]] = []
    found = evaluate_ensemble(kept, average, lambda done, total: seen.append((done, total)))
    mean = np.mean([mean_of(own, average) for own in logits], axis=0)
    labels = make_labels(10)

    def error(k: int) -> float:
        return 100.0 * (1.0 - float(top_k_accuracy_score(labels, mean, k=k, labels=range(10))))

    assert found.num_moved == 0
    assert found.score.top1_err == pytest.approx(error(1))
    assert found.score.top5_err == pytest.approx(error(5))
    probabilities = mean if average == "softmax" else softmax(mean, axis=1)
    loss = -np.log(probabilities[np.arange(NUM_IMAGES), labels]).mean()
    assert found.score.loss == pytest.approx(loss, rel=1e-3)
    assert seen[-1] == (NUM_IMAGES, NUM_IMAGES)


def test_an_image_that_the_run_judged_otherwise_is_counted(tmp_path: Path) -> None:
    logits = make_logits(0, 10)
    folder = keep(tmp_path / "p", logits)
    (path,) = folder.glob("*.npy")
    records = np.load(path, mmap_mode="r+")
    records["hits"][5] = ~records["hits"][5]
    records.flush()
    contents = json.loads((folder / "contents.json").read_text())
    contents["files"][0]["sha256"] = sha256_of(path)
    (folder / "contents.json").write_text(json.dumps(contents))
    assert evaluate_ensemble([Predictions(folder)], "softmax").num_moved == 1


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=10, max_size=10),
    st.integers(0, 9),
)
@settings(max_examples=50, deadline=None)
def test_scores_of_any_size_come_back_finite(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float], view: int
) -> None:
    logits = make_logits(view, 10)
    logits[view, view % NUM_VIEWS] = scores
    kept = Predictions(keep(tmp_path_factory.mktemp("p") / "p", logits))
    found = kept.scores(0, NUM_IMAGES)
    assert torch.isfinite(found.log_probs).all()
    assert evaluate_ensemble([kept], "softmax").num_moved == 0


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    folder = keep(tmp_path / "p", make_logits(0, 10), world_size=2)
    first, second = sorted(folder.glob("*.npy"))
    content = first.read_bytes()
    for damage in (
        lambda: first.write_bytes(content[:-1]),
        lambda: first.write_bytes(bytes([content[0] ^ 1]) + content[1:]),
        lambda: first.write_bytes(second.read_bytes()),
        first.unlink,
        lambda: (folder / "contents.json").write_text("{"),
        (folder / "contents.json").unlink,
    ):
        damage()
        with pytest.raises(IntegrityError, match=str(folder)) as refused:
            Predictions(folder)
        assert "remove the folder" in refused.value.mend
        first.write_bytes(content)
    assert read_contents(folder) is None


def test_files_that_name_an_image_twice_are_refused(tmp_path: Path) -> None:
    folder = keep(tmp_path / "p", make_logits(0, 10), world_size=2)
    contents = json.loads((folder / "contents.json").read_text())
    contents["files"][1] = contents["files"][0]
    (folder / "contents.json").write_text(json.dumps(contents))
    with pytest.raises(IntegrityError, match="once each"):
        Predictions(folder)


def test_a_name_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    folder = keep(tmp_path / "p", make_logits(0, 10))
    contents = json.loads((folder / "contents.json").read_text())
    contents["files"][0]["name"] = "../../000-of-001.npy"
    (folder / "contents.json").write_text(json.dumps(contents))
    assert read_contents(folder) is None


def test_sealing_again_leaves_nothing_of_the_time_before(tmp_path: Path) -> None:
    logits = make_logits(0, 10)
    folder = keep(tmp_path / "p", logits, world_size=3)
    keep(folder, logits, world_size=2)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["000-of-002.npy", "001-of-002.npy", "contents.json"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may be larger than 20 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_disk_without_room_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File too large"):
        PredictionsWriter(
            tmp_path / "p", "000-of-001.npy", np.arange(1000), num_views=1, num_classes=10
        )
    assert os.listdir(tmp_path / "p") == []


@pytest.mark.parametrize("world_size", [1, 3])
def test_images_that_a_run_gets_wrong(tmp_path: Path, world_size: int) -> None:
    logits = make_logits(4, 3)
    folder = keep(tmp_path, logits, world_size=world_size)
    expected = mean_of(logits, "softmax").argmax(axis=1) != make_labels(3)
    assert 0 < expected.sum() < NUM_IMAGES
    np.testing.assert_array_equal(wrong_images(folder), expected)


def test_no_correctness_is_read_of_damaged_predictions(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no contents"):
        wrong_images(tmp_path)
    folder = keep(tmp_path, make_logits(4, 12), world_size=2)
    contents = read_contents(folder)
    assert contents is not None
    seal_predictions(folder, contents.model_copy(update={"files": contents.files[:1]}))
    with pytest.raises(IntegrityError, match="23 images once each"):
        wrong_images(folder)
    path = folder / contents.files[0].name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match="SHA-256"):
        wrong_images(folder)


def test_correctness_is_read_without_torch(tmp_path: Path) -> None:
    keep(tmp_path, make_logits(4, 12))
    program = (
        "import sys, pathlib; from resnet_cluster.evaluation import wrong_images; "
        f"wrong_images(pathlib.Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
