"""Random numbers of a sample: a pure function of (seed, epoch, sample id), whoever asks.

No thread, worker or batch boundary can change them. The function is SplitMix64 (Steele, Lea and
Flood 2014), a counter-based hash, chained over the three and evaluated for a batch at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_UINT64 = np.uint64
_GAMMA = _UINT64(0x9E3779B97F4A7C15)


def sample_bits(seed: int, epoch: int, sample_ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 random bits for each sample: uint64 [n]."""
    key = split_mix(np.array([seed], _UINT64))
    key = split_mix(key + np.array([epoch], _UINT64))
    return split_mix(key + sample_ids.astype(_UINT64))


def uniform(
    seed: int, epoch: int, sample_ids: NDArray[np.int64], stream: int, count: int
) -> NDArray[np.float64]:
    """`count` numbers in [0, 1) for each sample: float64 [n, count].

    Args:
        stream: tells apart what draws for the same sample: 0 to 255.
        count: at most 256.
    """
    assert 0 <= stream < 256
    assert 0 < count <= 256
    steps = np.arange(count, dtype=_UINT64) + _UINT64(1 + 256 * stream)
    bits = split_mix(sample_bits(seed, epoch, sample_ids)[:, None] + steps * _GAMMA)
    return (bits >> _UINT64(11)).astype(np.float64) * 2.0**-53


def split_mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output of SplitMix64 for each 64-bit state."""
    mixed = state + _GAMMA
    mixed = (mixed ^ (mixed >> _UINT64(30))) * _UINT64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> _UINT64(27))) * _UINT64(0x94D049BB133111EB)
    return mixed ^ (mixed >> _UINT64(31))
