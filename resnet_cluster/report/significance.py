"""Tests of a difference, their p-values together, and the seeds that would tell it.

Welch, The generalization of Student's problem when several different population variances are
involved. Biometrika 34, 1947, pp. 28-35. McNemar, Psychometrika 12, 1947, pp. 153-157; with mid-p
as Fagerland, Lydersen and Laake recommend, BMC Medical Research Methodology 13:91, 2013. Holm, A
simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6, 1979,
pp. 65-70.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.report.statistics import spread

RISK = 0.05
"""Level of the tests; the rest of one are the intervals."""

POWER = 0.8
"""Chance of telling a difference, at the number of seeds that is said to be needed."""

DEVIATIONS_TOLD = 2.8015852
"""Of a normal value whose deviation is known, from zero, at which a test at 5 % has that power."""

MOST_SEEDS = 1000
"""More than these of a group are not counted."""

FEW_DISCORDANT = 25
"""Images that only one of two runs gets wrong, below which large numbers say nothing of them."""

_FEW_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Welch:
    """Welch's t-test of two means, of whatever variances.

    Attributes:
        t: of the first mean less the second.
        freedom: degrees of freedom, by Welch and Satterthwaite.
        p: two-sided.
    """

    t: float
    freedom: float
    p: float


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """McNemar's test of two runs on the same images.

    Attributes:
        only_first, only_second: images that only the first, or only the second, gets wrong.
        p: two-sided.
        method: `exact` where they are fewer than 25 together, else `mid-p`. The exact test never
            errs more often than it says; mid-p counts half of the chance of what was seen, and is
            less timid.
    """

    only_first: int
    only_second: int
    p: float
    method: str


@dataclass(frozen=True, kw_only=True)
class Needed:
    """Seeds of each group with which a difference of so many points is told, mostly.

    Attributes:
        points: the difference, in percentage points.
        std: deviation between seeds, pooled over the groups, in points.
        total: of each group; `MOST_SEEDS` stands for these or more.
        more: still to be trained, of the first group and of the second.
    """

    points: float
    std: float
    total: int
    more: tuple[int, int]


def welch(first: Sequence[float], second: Sequence[float]) -> Welch | None:
    """Welch's test; None with fewer than two values of one, or without any spread.

    Errors are counts of images: where all of a group are equal in both groups, t would be infinite
    and say nothing of how far other seeds lie apart.
    """
    if min(len(first), len(second)) < 2:
        return None
    variance = variance_of(first, second)
    if variance == 0:
        return None
    t = (spread(first).mean - spread(second).mean) / math.sqrt(variance)
    freedom = _welch_freedom(first, second)
    return Welch(t=t, freedom=freedom, p=student_p(t, freedom))


def variance_of(first: Sequence[float], second: Sequence[float]) -> float:
    """Of the difference of two means over seeds; a single seed adds nothing to it."""
    return math.fsum(_of_mean(values) for values in (first, second))


def sound_freedom(first: Sequence[float], second: Sequence[float]) -> float:
    """Degrees of freedom with which an interval misses about as often as it says.

    Welch's where the groups are equally large, or of five seeds and more. Else the fewer seeds less
    one (Mickey and Brown, Annals of Mathematical Statistics 37, 1966, pp. 639-642): of two seeds
    against ten Welch's test at 5 % errs in up to 12 % of the cases. With this rule it is at most
    6.3 % by simulation of normal errors (two against two, one deviation ten times the other), and
    5.8 % where neither deviation is over twice the other.
    """
    sizes = (len(first), len(second))
    if sizes[0] == sizes[1] or min(sizes) >= _FEW_SEEDS:
        return _welch_freedom(first, second)
    return min(sizes) - 1


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """McNemar's test, on the images that only one of two runs gets wrong."""
    from scipy.special import bdtr  # a third of a second to import

    num = only_first + only_second
    fewer = min(only_first, only_second)
    tail = float(bdtr(fewer, num, 0.5))
    if num < FEW_DISCORDANT:
        p, method = min(1.0, 2 * tail), "exact"
    else:
        below = float(bdtr(fewer - 1, num, 0.5)) if fewer else 0.0
        p, method = min(1.0, tail + below), "mid-p"
    return McNemar(only_first=only_first, only_second=only_second, p=p, method=method)


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for there being several, in their order: those below 5 % hold together."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return tuple(adjusted)


def needed(first: Sequence[float], second: Sequence[float], points: float) -> Needed | None:
    """Seeds for a difference of `points`; None where no two seeds of a group differ."""
    several = [values for values in (first, second) if len(values) > 1]
    squares = math.fsum((len(values) - 1) * _variance(values) for values in several)
    if squares == 0:
        return None
    std = math.sqrt(squares / sum(len(values) - 1 for values in several))
    total = seeds_to_tell(points, std)
    more = (max(0, total - len(first)), max(0, total - len(second)))
    return Needed(points=points, std=std, total=total, more=more)


def seeds_to_tell(points: float, std: float) -> int:
    """Seeds of each of two groups, from two on, at which the test at 5 % has 80 % power.

    The power is that of the t-test of two groups of normal values with one deviation, by the
    noncentral t distribution. It is of one comparison: of several, each needs some more.

    Args:
        points: the difference.
        std: deviation of the values in each group, above zero.
    """
    numbers = np.arange(2, MOST_SEEDS)
    enough = np.flatnonzero(power(points, std, numbers) >= POWER)
    return int(numbers[enough[0]]) if enough.size else MOST_SEEDS


def power(points: float, std: float, num_seeds: NDArray[np.int_]) -> NDArray[np.float64]:
    """Chance that the t-test at 5 % tells a difference, for so many seeds of each group."""
    from scipy.special import nctdtr, stdtrit

    freedom = 2 * num_seeds - 2
    bound = stdtrit(freedom, 1 - RISK / 2)
    shift = points / std * np.sqrt(num_seeds / 2)
    told = 1 - nctdtr(freedom, shift, bound) + nctdtr(freedom, shift, -bound)
    return np.asarray(told, np.float64)


def student_p(t: float, freedom: float) -> float:
    """Two-sided p-value of Student's t."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))


def student_bound(freedom: float) -> float:
    """What |t| exceeds in 5 % of the cases."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - RISK / 2))


def _welch_freedom(first: Sequence[float], second: Sequence[float]) -> float:
    parts = [(_of_mean(values), len(values) - 1) for values in (first, second)]
    whole = math.fsum(part for part, _ in parts)
    return whole**2 / math.fsum(part**2 / freedom for part, freedom in parts)


def _of_mean(values: Sequence[float]) -> float:
    return _variance(values) / len(values) if len(values) > 1 else 0.0


def _variance(values: Sequence[float]) -> float:
    std = spread(values).std
    assert std is not None
    # Equal values have a mean that is rounded, and differ from it by that.
    return std**2 if len(set(values)) > 1 else 0.0
