"""Seeded permutations that stay the same across platforms and versions of numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def shuffled(values: NDArray[np.int64], entropy: Sequence[int]) -> NDArray[np.int64]:
    """`values` in an order that is a pure function of `entropy` (non-negative integers).

    numpy promises that SeedSequence and a bit generator's raw output never change; what
    `Generator.permutation` makes of it may (NEP 19). So the order sorts raw 64-bit keys.
    """
    keys = np.random.Philox(np.random.SeedSequence(list(entropy))).random_raw(len(values))
    return values[np.argsort(keys, kind="stable")]
