from __future__ import annotations

import numpy as np
import pytest

from resnet_cluster.data import Manifest
from resnet_cluster.data.beton import read_squares
from resnet_cluster.data.statistics import CHUNK, training_mean


def test_the_manifest_states_what_numpy_computes_of_the_pixels(cifar: Manifest) -> None:
    squares = read_squares(cifar.beton("train"))
    pixels = squares.read(np.arange(cifar.train.num_images)).astype(np.float64)
    np.testing.assert_allclose(cifar.channel_mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(cifar.channel_std, pixels.std((0, 1, 2)), rtol=1e-9)
    covariance = np.cov(pixels.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(cifar.channel_covariance, covariance, rtol=1e-9)
    mean = cifar.pixel_mean()
    assert (mean.dtype, mean.shape) == (np.float32, (32, 32, 3))
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-6)


@pytest.mark.parametrize("num", [1, CHUNK, CHUNK + 1, 1300])
def test_a_run_has_the_mean_of_its_own_images(digits: Manifest, num: int) -> None:
    indices = np.random.default_rng(0).permutation(digits.train.num_images)[:num]
    pixels = read_squares(digits.beton("train")).read(indices).astype(np.float64)
    statistics = training_mean(digits.beton("train"), indices)
    np.testing.assert_allclose(statistics.pixel_mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.channel_mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(statistics.channel_std, pixels.std((0, 1, 2)), rtol=1e-9)


def test_the_whole_split_has_the_manifests_mean(digits: Manifest) -> None:
    statistics = training_mean(digits.beton("train"), np.arange(digits.train.num_images))
    assert np.array_equal(statistics.pixel_mean, digits.pixel_mean())
    assert tuple(statistics.channel_mean) == digits.channel_mean
