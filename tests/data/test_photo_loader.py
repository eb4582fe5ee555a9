"""Photographs from beton to batch: their pixels, their damage, and who sees which of them."""

from __future__ import annotations

import io
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, functional

from resnet_cluster.data import (
    BadSample,
    CentreCrop,
    EvalLoader,
    Manifest,
    RandomResizedCrop,
    ShorterSideJitter,
    TrainLoader,
    View,
    image_source,
    load_manifest,
    open_images,
    prepare,
)
from resnet_cluster.data.beton import read_index
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.data.page_order import page_order
from resnet_cluster.data.views import TenCrop, WholeImage
from resnet_cluster.errors import IntegrityError, PreflightError

BATCH, GROUP, SEED = 40, 20, 5
Views = Callable[[int], View]


def _random(epoch: int) -> View:
    return RandomResizedCrop(side=128, seed=SEED, epoch=epoch)


def _jittered(epoch: int) -> View:
    return ShorterSideJitter(side=224, seed=SEED, epoch=epoch)


@pytest.fixture(scope="module")
def originals(shared_data: Path) -> dict[str, bytes]:
    """ImageNet's sample, by name."""
    found = {}
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        for member in tar:
            if member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found


@pytest.fixture(scope="module")
def photos(
    shared_data: Path, originals: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Manifest:
    """The sample with the bytes of its originals: all 500 to train on, the first 50 to test on."""
    folder = tmp_path_factory.mktemp("photos")
    for place, (name, content) in enumerate(sorted(originals.items())):
        label, file = Path(name).parts[-2:]
        for split in ("train", "test") if place < 50 else ("train",):
            path = folder / "images" / split / label / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for split in ("train", "test"):  # both have every class
        for label in {Path(name).parts[-2] for name in originals}:
            (folder / "images" / split / label).mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RESNET_CLUSTER_DATA", str(folder / "data"))
        return prepare(
            str(folder / "images"), name="photos", encoding=Encoding(mode="jpg")
        ).manifest


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Any:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def _train(
    manifest: Manifest,
    views: Views,
    rank: int = 0,
    world_size: int = 1,
    threads: int = 1,
    batch: int = BATCH,
    shuffle_pages: int = 0,
) -> TrainLoader:
    return TrainLoader(
        open_images(manifest, "train", num_threads=threads),
        indices=np.arange(manifest.train.num_images),
        global_batch_size=batch,
        bn_group=GROUP,
        world_rank=rank,
        world_size=world_size,
        seed=SEED,
        device="cpu",
        views=views,
        shuffle_pages=shuffle_pages,
    )


def _epoch(loader: TrainLoader, epoch: int = 0, first_step: int = 0) -> dict[int, torch.Tensor]:
    """Image of each sample."""
    with loader.batches(epoch, first_step) as batches:
        return {
            int(place): image
            for batch in batches
            for place, image in zip(batch.sample_ids, batch.images, strict=True)
        }


def _same(one: dict[int, torch.Tensor], other: dict[int, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("views", [_random, _jittered])
def test_500_photographs_on_two_ranks_are_within_half_a_grey_level_of_pil(
    photos: Manifest, originals: dict[str, bytes], views: Views
) -> None:
    names = sorted(originals, key=lambda name: Path(name).parts[-2:])
    seen = _epoch(_train(photos, views, 0, 2)) | _epoch(_train(photos, views, 1, 2))
    assert len(seen) == 480  # whole batches of 40
    index = read_index(photos.beton("train"))
    differences = []
    for place, image in seen.items():
        ids = np.array([place])
        crops = views(0).crops(index.widths[ids], index.heights[ids], ids)
        left, top, width, height = crops.regions[0].tolist()
        photo = Image.open(io.BytesIO(originals[names[place]])).convert("RGB")
        region = functional.crop(photo, top, left, height, width)
        resized_width, resized_height = crops.resized[0].tolist()
        resized = functional.resize(
            region, [resized_height, resized_width], InterpolationMode.BILINEAR
        )
        x, y = crops.offsets[0].tolist()
        window = functional.crop(resized, y, x, crops.height, crops.width)
        if crops.mirrored[0]:
            window = functional.hflip(window)
        ours = image.permute(1, 2, 0).numpy().astype(int)
        differences.append(np.abs(ours - np.asarray(window, int)).mean())
    assert np.mean(differences) < 0.05
    assert np.max(differences) < 0.5


@pytest.mark.parametrize("views", [_random, _jittered])
def test_threads_and_world_sizes_agree_and_epochs_differ(photos: Manifest, views: Views) -> None:
    alone = _epoch(_train(photos, views, batch=120))
    assert _same(alone, _epoch(_train(photos, views, threads=3, batch=120)))
    for world_size in (2, 3):
        parts = [_epoch(_train(photos, views, r, world_size, batch=120)) for r in range(world_size)]
        together = {place: image for part in parts for place, image in part.items()}
        assert sum(map(len, parts)) == len(together)
        assert _same(alone, together)
    another = _epoch(_train(photos, views, batch=120), epoch=1)
    common = alone.keys() & another.keys()
    assert not any(torch.equal(alone[place], another[place]) for place in common)


def test_an_epoch_that_was_cut_off_goes_on_where_it_was(photos: Manifest) -> None:
    loader = _train(photos, _random)
    whole, rest = _epoch(loader, 3), _epoch(loader, 3, first_step=5)
    assert len(rest) == 480 - 5 * BATCH
    assert all(torch.equal(whole[place], image) for place, image in rest.items())


def test_a_few_pages_at_a_time_every_world_size_trains_on_the_same_places(
    photos: Manifest,
) -> None:
    settings: dict[str, Any] = {"batch": 120, "shuffle_pages": 2}
    index = read_index(photos.beton("train"))
    expected = page_order(np.arange(500), index.pages, window_pages=2, seed=SEED, epoch=1)
    assert len(expected.pages) > 2
    steps = expected.places[:480].reshape(4, 120)
    for world_size in (1, 2, 3):
        loaders = [_train(photos, _random, r, world_size, **settings) for r in range(world_size)]
        trained = [list(loader.batches(1)) for loader in loaders]
        for step in range(4):
            ids = [
                place
                for loader, batches in zip(loaders, trained, strict=True)
                for batch in batches[step * len(loader.micro_batches) :][
                    : len(loader.micro_batches)
                ]
                for place in batch.sample_ids.tolist()
            ]
            assert ids == steps[step].tolist()
    rest = _epoch(_train(photos, _random, **settings), 1, first_step=2)
    assert list(rest) == expected.places[240:480].tolist()


@pytest.mark.parametrize("available", [20 << 20, 1 << 60])  # the file has 55 MB
def test_pages_that_are_left_come_back_as_they_were(
    photos: Manifest, available: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_source, "available_bytes", lambda: available)
    loader = _train(photos, _random, batch=20, shuffle_pages=2)
    first = _epoch(loader, 1)
    assert _same(first, _epoch(loader, 1))
    shuffled = _epoch(_train(photos, _random, batch=20), 1)
    assert all(torch.equal(first[place], shuffled[place]) for place in first.keys() & shuffled)


def test_the_size_may_change_between_epochs(photos: Manifest) -> None:
    def growing(epoch: int) -> View:
        return RandomResizedCrop(side=64 + 32 * epoch, seed=SEED, epoch=epoch)

    loader = _train(photos, growing)
    for epoch in (0, 2, 1):
        with loader.batches(epoch) as batches:
            assert next(batches).images.shape == (GROUP, 3, 64 + 32 * epoch, 64 + 32 * epoch)
    expected = _epoch(_train(photos, lambda epoch: growing(2)), 2)
    assert _same(_epoch(loader, 2), expected)


def _eval(manifest: Manifest, view: View, rank: int = 0, world_size: int = 1) -> EvalLoader:
    return EvalLoader(
        open_images(manifest, "test", num_threads=2),
        indices=np.arange(manifest.test.num_images),
        batch_size=7,
        world_rank=rank,
        world_size=world_size,
        device="cpu",
        view=view,
    )


@pytest.mark.parametrize("world_size", [1, 3, 60])
@pytest.mark.parametrize(
    "view", [CentreCrop(side=64, resize=73), TenCrop(side=64, resize=73), WholeImage(resize=80)]
)
def test_a_measurement_sees_every_image_once(photos: Manifest, view: View, world_size: int) -> None:
    seen: list[int] = []
    for rank in range(world_size):
        with _eval(photos, view, rank, world_size).batches() as batches:
            for batch in batches:
                seen += batch.sample_ids.tolist()
                assert len(batch.images) == len(batch.labels) * view.num_crops
                assert min(batch.images.shape[2:]) == (80 if isinstance(view, WholeImage) else 64)
    assert sorted(seen) == list(range(50))


@pytest.fixture
def spoilt(photos: Manifest, tmp_path: Path) -> Manifest:
    """The photographs on a disk that has lost a part of one of either split."""
    folder = shutil.copytree(photos.folder, tmp_path / "spoilt")
    for split in ("train", "test"):
        index = read_index(folder / f"{split}.beton")
        with (folder / f"{split}.beton").open("r+b") as file:
            file.seek(int(index.pointers[17]) + 2)
            file.write(b"\0" * int(index.lengths[17] - 2))
    return load_manifest(str(folder))


def test_a_damaged_photograph_is_named_and_black_and_the_others_are_whole(
    photos: Manifest, spoilt: Manifest
) -> None:
    whole = _epoch(_train(photos, _random))
    bad: list[BadSample] = []
    with _train(spoilt, _random, threads=2).batches(0) as batches:
        for batch in batches:
            bad += batch.bad
            for place, image in zip(batch.sample_ids.tolist(), batch.images, strict=True):
                assert torch.equal(image, whole[place] if place != 17 else torch.zeros_like(image))
    assert [sample.place for sample in bad] == [17]
    assert bad[0].why


def test_batches_that_memory_cannot_hold_are_refused(
    photos: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 5 * GROUP * 3 * 128 * 128
    monkeypatch.setattr(image_source, "available_bytes", lambda: needed)
    with _train(photos, _random).batches(0) as batches:
        next(batches)
    monkeypatch.setattr(image_source, "available_bytes", lambda: needed - 1)
    with (
        _train(photos, _random).batches(0) as batches,
        pytest.raises(PreflightError, match=r"train\.beton: 5 of its largest") as refused,
    ):
        next(batches)
    assert "evaluate.scales" in refused.value.mend


def test_no_figure_is_taken_of_a_split_with_a_damaged_photograph(spoilt: Manifest) -> None:
    with (
        _eval(spoilt, CentreCrop(side=64, resize=73)).batches() as batches,
        pytest.raises(IntegrityError, match="image 17 of the split that is measured is damaged"),
    ):
        list(batches)
