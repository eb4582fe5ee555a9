"""What views say, beside torchvision's transforms, which draw and round the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chisquare, ks_2samp
from torchvision.transforms import RandomResizedCrop as TorchvisionCrop
from torchvision.transforms import functional

from resnet_cluster.data.random_views import RandomResizedCrop, ShorterSideJitter
from resnet_cluster.data.views import (
    CentreCrop,
    Crops,
    TenCrop,
    View,
    WholeImage,
)

WIDTH, HEIGHT, NUM = 500, 375, 4000
SIZES = st.tuples(st.integers(8, 3000), st.integers(8, 3000))


def _crops(view: View, *sizes: tuple[int, int], first: int = 0) -> Crops:
    widths, heights = np.asarray(sizes, np.int64).T
    return view.crops(widths, heights, np.arange(first, first + len(sizes)))


def _assert_inside(crops: Crops, sizes: list[tuple[int, int]]) -> None:
    left, top, width, height = crops.regions.T
    image_width, image_height = np.asarray(sizes).T
    assert (crops.regions[:, :2] >= 0).all()
    assert (crops.regions[:, 2:] >= 1).all()
    assert (left + width <= image_width).all()
    assert (top + height <= image_height).all()
    assert (crops.offsets >= 0).all()
    assert (crops.offsets + np.array((crops.width, crops.height)) <= crops.resized).all()


def test_random_crops_are_distributed_as_torchvisions() -> None:
    view = RandomResizedCrop(side=224, seed=7, epoch=0)
    ours = _crops(view, *[(WIDTH, HEIGHT)] * NUM)
    torch.manual_seed(0)
    image = Image.new("RGB", (WIDTH, HEIGHT))
    theirs = np.array(
        [TorchvisionCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(NUM)]
    )
    for column, other in enumerate((1, 0, 3, 2)):  # torchvision: top, left, height, width
        assert ks_2samp(ours.regions[:, column], theirs[:, other]).pvalue > 1e-3
    assert 0.45 < ours.mirrored.mean() < 0.55
    assert (ours.resized == 224).all()


@pytest.mark.parametrize(("width", "height"), [(3000, 40), (40, 3000), (64, 64)])
def test_where_no_shape_fits_the_centre_is_taken_as_torchvision_does(
    width: int, height: int
) -> None:
    view = RandomResizedCrop(side=32, scale=(1.0, 1.0), ratio=(0.9, 0.95), seed=0, epoch=0)
    crops = _crops(view, (width, height))
    image = Image.new("RGB", (width, height))
    top, left, high, wide = TorchvisionCrop.get_params(image, [1.0, 1.0], [0.9, 0.95])
    assert crops.regions[0].tolist() == [left, top, wide, high]


def test_the_jittered_side_is_uniform_and_the_crop_anywhere() -> None:
    view = ShorterSideJitter(side=224, seed=3, epoch=1)
    crops = _crops(view, *[(WIDTH, HEIGHT)] * 20_000)
    shorter = crops.resized.min(axis=1)
    assert (shorter.min(), shorter.max()) == (256, 480)
    assert chisquare(np.bincount(shorter - 256)).pvalue > 1e-3
    share = crops.offsets / (crops.resized - 224 + 1)
    for axis in (0, 1):
        assert chisquare(np.histogram(share[:, axis], 10, (0, 1))[0]).pvalue > 1e-3
    assert 0.48 < crops.mirrored.mean() < 0.52
    assert abs(np.corrcoef(shorter, share[:, 0])[0, 1]) < 0.03


@given(SIZES, st.integers(8, 600))
def test_a_resize_rounds_as_torchvisions(size: tuple[int, int], shorter: int) -> None:
    width, height = WholeImage(resize=shorter).sizes(*np.asarray(size)[:, None])[0]
    expected = functional._compute_resized_output_size(size[::-1], [shorter])
    assert [height, width] == expected


@given(st.lists(SIZES, min_size=1, max_size=8), st.integers(8, 64), st.integers(0, 2**62))
def test_every_view_stays_inside_the_image(
    sizes: list[tuple[int, int]], side: int, seed: int
) -> None:
    random: dict[str, Any] = {"side": side, "seed": seed, "epoch": seed % 90}
    for view in (
        RandomResizedCrop(**random),
        ShorterSideJitter(shortest=side, longest=2 * side, **random),
        CentreCrop(side=side, resize=side),
        CentreCrop(side=side, resize=side + 5),
    ):
        _assert_inside(_crops(view, *sizes), sizes)
    ten = _crops(TenCrop(side=side, resize=side + 3), *sizes)
    _assert_inside(ten, [size for size in sizes for _ in range(10)])


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (50, 50), (49, 48), (61, 48)])
def test_the_ten_crops_and_the_centre_are_torchvisions(size: tuple[int, int]) -> None:
    places = np.arange(size[0] * size[1]).reshape(1, size[1], size[0])  # each pixel its number
    image = torch.from_numpy(places)
    side, shorter = 33, min(size)
    expected = functional.ten_crop(image, [side, side])
    for view, wanted in (
        (TenCrop(side=side, resize=shorter), expected),
        (CentreCrop(side=side, resize=shorter), expected[4:5]),
    ):
        crops = _crops(view, size)
        assert len(crops) == len(wanted) == view.num_crops
        for (left, top), is_mirrored, theirs in zip(
            crops.offsets, crops.mirrored, wanted, strict=True
        ):
            window = places[:, top : top + side, left : left + side]
            assert np.array_equal(window[:, :, ::-1] if is_mirrored else window, theirs)


@pytest.mark.parametrize("kind", [RandomResizedCrop, ShorterSideJitter])
def test_a_crop_is_fixed_by_seed_epoch_and_sample_alone(kind: Any) -> None:
    def regions(seed: int, epoch: int, first: int, num: int) -> list[list[int]]:
        view = kind(side=32, seed=seed, epoch=epoch)
        crops = _crops(view, *[(WIDTH, HEIGHT)] * num, first=first)
        return np.concatenate((crops.regions, crops.resized, crops.offsets), axis=1).tolist()

    whole = regions(1, 2, 0, 40)
    assert regions(1, 2, 0, 40) == whole
    assert regions(1, 2, 30, 10) == whole[30:]
    for other in (regions(1, 3, 0, 40), regions(2, 2, 0, 40)):
        assert sum(a == b for a, b in zip(whole, other, strict=True)) < 3


def test_crops_of_one_epoch_say_nothing_of_the_next() -> None:
    sizes = [(WIDTH, HEIGHT)] * 5000
    lefts = [
        _crops(RandomResizedCrop(side=32, seed=0, epoch=epoch), *sizes).regions[:, 0]
        for epoch in range(3)
    ]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert abs(np.corrcoef(lefts[one], lefts[other])[0, 1]) < 4 / math.sqrt(len(sizes))


def test_whole_images_of_a_batch_are_of_one_size() -> None:
    view = WholeImage(resize=64)
    crops = _crops(view, (128, 64), (256, 128))
    assert (crops.width, crops.height) == (128, 64)
    assert view.most_pixels(np.array([128, 300]), np.array([64, 50])) == 64 * 384
    with pytest.raises(AssertionError):
        _crops(view, (128, 64), (64, 128))
