from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torchvision.transforms import functional

from resnet_cluster.data import ColorShift, Normalize, PadCropFlip

IDS = np.asarray([0, 1, 5, 49_999, 12_345, 7, 8, 9], np.int64)


def _images(num: int, side: int = 32) -> torch.Tensor:
    return torch.randn(num, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("pad", "flip"), [(4, True), (4, False), (0, True), (2, True), (0, False)])
def test_each_sample_is_what_torchvision_makes_of_its_draw(
    pad: int, flip: bool, memory_format: torch.memory_format
) -> None:
    images = _images(len(IDS)).contiguous(memory_format=memory_format)
    augment = PadCropFlip(pad, flip, seed=3)
    top, left, mirrored = augment.draw(IDS, epoch=2)
    result = augment(images, IDS, epoch=2)
    for place, image in enumerate(images):
        padded = functional.pad(image, [pad] * 4)
        expected = functional.crop(padded, int(top[place]), int(left[place]), 32, 32)
        if mirrored[place]:
            expected = functional.hflip(expected)
        assert torch.equal(result[place], expected)
    assert result.is_contiguous(memory_format=memory_format)
    assert flip or not mirrored.any()


def test_offsets_and_flips_are_uniform_and_independent() -> None:
    top, left, mirrored = PadCropFlip(4, True, seed=0).draw(np.arange(50_000), epoch=0)
    assert (top.min(), top.max(), left.min(), left.max()) == (0, 8, 0, 8)
    joint = np.bincount((top * 9 + left) * 2 + mirrored, minlength=162)
    assert chisquare(joint).pvalue > 1e-3


@pytest.mark.parametrize("fixed", ["sample", "epoch", "seed"])
def test_draws_do_not_follow_one_another_over_samples_epochs_or_seeds(fixed: str) -> None:
    num = 4000
    draws = {
        "sample": lambda i: PadCropFlip(4, True, seed=0).draw(np.asarray([17]), i),
        "epoch": lambda i: PadCropFlip(4, True, seed=i).draw(np.asarray([3]), 5),
        "seed": lambda i: PadCropFlip(4, True, seed=0).draw(np.asarray([i]), 5),
    }
    tops = np.concatenate([draws[fixed](i)[0] for i in range(num)])
    pairs = np.bincount(tops[:-1] * 9 + tops[1:], minlength=81)
    assert chisquare(pairs).pvalue > 1e-3


def test_split_mix_is_the_published_generator() -> None:
    # The first outputs of SplitMix64 from state 1234567, as in its reference implementation.
    from resnet_cluster.data.randomness import split_mix

    gamma, state = 0x9E3779B97F4A7C15, 1234567
    outputs = [
        int(split_mix(np.asarray([(state + i * gamma) % 2**64], np.uint64))[0]) for i in range(3)
    ]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_sample_is_augmented_alike_in_any_batch_and_by_any_number_of_threads() -> None:
    images, ids = _images(60), np.arange(60)
    augment = PadCropFlip(4, True, seed=9)
    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = augment(images, ids, 1)
        torch.set_num_threads(2)
        assert torch.equal(augment(images, ids, 1), whole)
    finally:
        torch.set_num_threads(num_threads)
    shuffle = np.random.default_rng(0).permutation(60)
    assert torch.equal(augment(images[shuffle], ids[shuffle], 1), whole[shuffle])
    parts = [augment(images[i : i + 7], ids[i : i + 7], 1) for i in range(0, 60, 7)]
    assert torch.equal(torch.cat(parts), whole)


def test_epochs_and_seeds_differ() -> None:
    ids = np.arange(500)
    draws = [
        PadCropFlip(4, True, seed).draw(ids, epoch)[0].tolist()
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    ]
    assert len({tuple(draw) for draw in draws}) == 3


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(3,), (8, 8, 3)])
@pytest.mark.parametrize("divided", [False, True])
def test_normalize_is_the_plain_formula(
    shape: tuple[int, ...], divided: bool, channels_last: bool
) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (5, 8, 8, 3), np.uint8)
    mean = random.uniform(0, 255, shape)
    std = random.uniform(1, 80, 3) if divided else None
    expected = pixels - mean if std is None else (pixels - mean) / std
    result = Normalize(mean, std, channels_last=channels_last)(
        torch.from_numpy(pixels).permute(0, 3, 1, 2)
    )
    assert result.dtype == torch.float32
    assert result.is_contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )
    np.testing.assert_allclose(result.permute(0, 2, 3, 1).numpy(), expected, rtol=0, atol=1e-4)


def test_the_padding_equals_the_mean() -> None:
    mean = np.full((8, 8, 3), 100.0)
    images = torch.full((40, 3, 8, 8), 100, dtype=torch.uint8)
    augmented = PadCropFlip(4, True, 0)(Normalize(mean)(images), np.arange(40), 0)
    assert torch.count_nonzero(augmented) == 0


def test_normalize_leaves_the_batch_as_it_was() -> None:
    images = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    Normalize(np.asarray([1.0, 2.0, 3.0]))(images)
    assert (images == 7).all()


COVARIANCE = np.array([[4000.0, 3500, 3000], [3500, 3900, 3400], [3000, 3400, 4200]])


def test_colours_shift_along_the_principal_components_by_a_tenth_of_their_deviation() -> None:
    shifts = ColorShift(COVARIANCE, None, seed=0).draw(np.arange(100_000), epoch=0)
    # The shifts' covariance is the colours' own, a tenth as wide in each direction.
    np.testing.assert_allclose(np.cov(shifts.T), 0.01 * COVARIANCE, rtol=0.03)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.1)
    along = shifts @ np.linalg.eigh(COVARIANCE)[1]
    for component in along.T:
        assert kstest(component / component.std(), "norm").pvalue > 1e-3
    correlations = np.corrcoef(along.T)
    assert np.abs(correlations - np.eye(3)).max() < 0.02


def test_a_shift_is_added_to_every_pixel_in_the_unit_of_the_deviations() -> None:
    std = np.array([50.0, 60, 70])
    images = _images(len(IDS)).contiguous(memory_format=torch.channels_last)
    levels = ColorShift(COVARIANCE, None, seed=4).draw(IDS, epoch=2)
    shifted = ColorShift(COVARIANCE, std, seed=4)(images.clone(), IDS, epoch=2)
    for place in range(len(IDS)):
        for channel in range(3):
            expected = images[place, channel] + levels[place, channel] / std[channel]
            torch.testing.assert_close(shifted[place, channel], expected.float())
    assert shifted.is_contiguous(memory_format=torch.channels_last)


def test_a_shift_is_fixed_by_seed_epoch_and_sample() -> None:
    def draw(seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
        return ColorShift(COVARIANCE, None, seed).draw(ids, epoch)

    assert np.array_equal(draw(1, 2, IDS)[3:], draw(1, 2, IDS[3:]))
    assert not (draw(1, 2, IDS) == draw(1, 3, IDS)).any()
    assert not (draw(1, 2, IDS) == draw(2, 2, IDS)).any()
