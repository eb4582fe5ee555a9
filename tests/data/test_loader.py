from __future__ import annotations

import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import Archive
from PIL import Image

from resnet_cluster.data import (
    Batch,
    EvalLoader,
    ImageSource,
    Manifest,
    TrainLoader,
    epoch_order,
    load_manifest,
    open_images,
)
from resnet_cluster.data.beton import read_index, read_squares
from resnet_cluster.data.reader import BetonReader
from resnet_cluster.errors import IntegrityError

BATCH, GROUP, SEED = 24, 4, 5


def _train(manifest: Manifest, rank: int = 0, world_size: int = 1, **changed: Any) -> TrainLoader:
    settings: dict[str, Any] = {
        "indices": np.arange(10, manifest.train.num_images),
        "global_batch_size": BATCH,
        "bn_group": GROUP,
        "seed": SEED,
        "device": "cpu",
    }
    settings.update(changed)
    source = open_images(manifest, "train", num_threads=settings.pop("num_threads", 1))
    return TrainLoader(source, world_rank=rank, world_size=world_size, **settings)


def _eval(manifest: Manifest, rank: int, world_size: int, batch_size: int = 32) -> EvalLoader:
    return EvalLoader(
        open_images(manifest, "test"),
        indices=np.arange(manifest.test.num_images),
        batch_size=batch_size,
        world_rank=rank,
        world_size=world_size,
        device="cpu",
    )


def _same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.labels, other.labels)
        and one.sample_ids.tolist() == other.sample_ids.tolist()
    )


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Any:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_pixels_and_labels_are_those_that_pil_decodes(
    cifar: Manifest, cifar_archive: Archive
) -> None:
    names = cifar_archive.names("train")
    batches = list(_train(cifar).batches(epoch=0))
    assert len(batches) == (len(names) - 10) // BATCH * (BATCH // GROUP)
    for batch in batches:
        assert batch.images.shape == (GROUP, 3, 32, 32)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert (batch.images.dtype, batch.labels.dtype) == (torch.uint8, torch.int64)
        for place, sample in enumerate(batch.sample_ids):
            name = names[sample]
            expected = np.asarray(Image.open(io.BytesIO(cifar_archive.images[name])).convert("RGB"))
            assert np.array_equal(batch.images[place].permute(1, 2, 0).numpy(), expected)
            assert cifar.classes[int(batch.labels[place])] == name.split("/")[1]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6])
def test_every_world_size_trains_on_the_same_places_of_the_epochs_order(
    cifar: Manifest, world_size: int
) -> None:
    order = epoch_order(np.arange(10, cifar.train.num_images), seed=SEED, epoch=1).tolist()
    loaders = [_train(cifar, rank, world_size) for rank in range(world_size)]
    ranks = [list(loader.batches(epoch=1)) for loader in loaders]
    for step in range(len(order) // BATCH):
        seen: list[int] = []
        for loader, batches in zip(loaders, ranks, strict=True):
            each = len(loader.micro_batches)
            for batch in batches[step * each : (step + 1) * each]:
                seen.extend(batch.sample_ids.tolist())
        assert seen == order[step * BATCH : (step + 1) * BATCH]
    assert {len(b) // loaders[0].steps_per_epoch for b in ranks} <= {
        BATCH // GROUP // world_size,
        BATCH // GROUP // world_size + 1,
    }


@pytest.mark.parametrize("first_step", [0, 1, 7])
def test_an_epoch_that_was_cut_off_goes_on_where_it_was(cifar: Manifest, first_step: int) -> None:
    loader = _train(cifar, rank=1, world_size=2)
    assert loader.steps_per_epoch == 7
    whole = list(loader.batches(epoch=3))
    rest = list(_train(cifar, rank=1, world_size=2).batches(epoch=3, first_step=first_step))
    skipped = first_step * len(loader.micro_batches)
    assert len(rest) == len(whole) - skipped
    assert all(_same(one, other) for one, other in zip(whole[skipped:], rest, strict=True))


def test_a_loader_serves_every_epoch_and_any_one_again(cifar: Manifest) -> None:
    loader = _train(cifar)
    first, second, again = (list(loader.batches(epoch)) for epoch in (0, 1, 0))
    assert all(map(_same, first, again))
    assert not all(map(_same, first, second))


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_evaluation_sees_every_image_exactly_once(digits: Manifest, world_size: int) -> None:
    squares = read_squares(digits.beton("test"))
    seen: list[int] = []
    for rank in range(world_size):
        loader = _eval(digits, rank, world_size)
        batches = list(loader.batches())
        assert sum(len(batch.labels) for batch in batches) == loader.num_images
        assert all(len(batch.labels) == 32 for batch in batches[:-1])
        for batch in batches:
            seen.extend(batch.sample_ids.tolist())
            pixels = batch.images.permute(0, 2, 3, 1).numpy()
            assert np.array_equal(pixels, squares.read(batch.sample_ids))
            assert np.array_equal(batch.labels.numpy(), squares.index.labels[batch.sample_ids])
    assert sorted(seen) == list(range(digits.test.num_images))


def test_a_rank_may_have_nothing_to_evaluate(cifar: Manifest) -> None:
    loader = EvalLoader(
        open_images(cifar, "test"),
        indices=np.asarray([3]),
        batch_size=2,
        world_rank=1,
        world_size=2,
        device="cpu",
    )
    assert list(loader.batches()) == []


def test_training_and_evaluation_may_be_interleaved(cifar: Manifest) -> None:
    train, test = _train(cifar), _eval(cifar, 0, 1, batch_size=4)
    alone = list(train.batches(0)), list(test.batches())
    together = list(zip(train.batches(0), test.batches(), strict=False))
    assert all(_same(t, a) and _same(e, b) for (t, e), a, b in zip(together, *alone, strict=False))


def test_batches_are_the_callers_to_keep(cifar: Manifest) -> None:
    loader = _train(cifar)
    kept = list(loader.batches(0))
    for batch, again in zip(kept, loader.batches(0), strict=True):
        assert _same(batch, again)


def test_leaving_an_epoch_early_ends_its_thread(cifar: Manifest) -> None:
    loader = _train(cifar)
    with loader.batches(0) as batches:
        next(batches)
        assert threading.active_count() > 1
    assert list(batches) == []
    for _ in loader.batches(0):
        break
    assert len(list(loader.batches(0))) == 7 * BATCH // GROUP


def test_beginning_another_epoch_ends_the_one_under_way(cifar: Manifest) -> None:
    loader = _train(cifar)
    first = loader.batches(0)
    next(first)
    second = loader.batches(1)
    next(second)
    with pytest.raises(AssertionError, match="another epoch"):
        next(first)
    assert len(list(second)) == len(second) - 1


def test_an_error_in_the_loading_thread_is_raised(cifar: Manifest) -> None:
    indices = np.asarray([*range(40), 10**6])
    loader = _train(cifar, indices=indices, global_batch_size=41, bn_group=1)
    with pytest.raises(
        IntegrityError, match=r"train\.beton: reading a batch failed.*1000000"
    ) as caught:
        list(loader.batches(0))
    assert isinstance(caught.value.__cause__, IndexError)


class _Silent(ImageSource):
    """Images on a disk that does not answer until it is let go."""

    answers: threading.Event

    def fill(self, places: Any, room: Any) -> Any:
        self.answers.wait()
        raise OSError("the disk is back")


def test_a_disk_that_does_not_answer_is_not_waited_for(cifar: Manifest) -> None:
    silent = _Silent(read_index(cifar.beton("test")))
    silent.answers = threading.Event()
    reader = BetonReader(silent, deadline_s=0.2)
    batches = reader.read([np.arange(4), np.arange(4, 8)])
    threading.Timer(1.0, silent.answers.set).start()
    with pytest.raises(IntegrityError, match=r"test\.beton: no batch within 0\.2 s"):
        next(batches)


@pytest.mark.parametrize("kept", [0, 30, 5000, 3_000_000])
def test_a_truncated_beton_is_refused_before_it_is_mapped(
    cifar: Manifest, tmp_path: Path, kept: int
) -> None:
    folder = shutil.copytree(cifar.folder, tmp_path / "cut")
    os.truncate(folder / "train.beton", kept)
    with pytest.raises(IntegrityError, match=r"train\.beton"):
        open_images(load_manifest(str(folder)), "train")


def test_torchs_threads_are_left_alone(cifar: Manifest) -> None:
    num_threads = torch.get_num_threads()
    try:
        for wanted in (1, 2):
            torch.set_num_threads(wanted)
            list(_train(cifar).batches(0))
            assert torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(num_threads)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_batches_on_a_gpu_are_those_on_the_cpu(cifar: Manifest) -> None:
    for cpu, gpu in zip(
        _train(cifar).batches(0), _train(cifar, device="cuda").batches(0), strict=True
    ):
        assert gpu.images.device.type == "cuda"
        assert torch.equal(gpu.images.cpu(), cpu.images)
        assert torch.equal(gpu.labels.cpu(), cpu.labels)
