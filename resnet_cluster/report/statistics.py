"""Errors of several seeds as the paper prints them: best (mean +- std)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of one error for each seed."""

    best: float
    mean: float
    std: float | None
    """Of the sample, over n - 1; None for a single one. The paper does not say which it gives."""
    n: int


def spread(errors: Sequence[float]) -> Spread:
    """Best, mean and standard deviation of at least one error."""
    assert errors, "a spread of nothing"
    n = len(errors)
    mean = math.fsum(errors) / n
    squares = math.fsum((error - mean) ** 2 for error in errors)
    std = math.sqrt(squares / (n - 1)) if n > 1 else None
    return Spread(best=min(errors), mean=mean, std=std, n=n)
