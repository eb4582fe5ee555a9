"""Whether the difference between two groups of seeds is real: intervals, tests and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.report.pairing import Paired, images_variance, paired
from resnet_cluster.report.resampling import Interval, bootstrap, interval
from resnet_cluster.report.seed_groups import SeedGroup, Unlike, differing
from resnet_cluster.report.significance import (
    DEVIATIONS_TOLD,
    RISK,
    McNemar,
    Needed,
    Welch,
    holm,
    mcnemar,
    needed,
    welch,
)
from resnet_cluster.report.statistics import spread


class Outcome(StrEnum):
    """What is said of a difference."""

    FIRST = "first is better"
    SECOND = "second is better"
    OPEN = "not settled"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A group of seeds, and what its runs get wrong.

    Attributes:
        group: the group.
        wrong: bool [runs, images], in the order of its figures; None where that was not kept.
    """

    group: SeedGroup
    wrong: NDArray[np.bool_] | None


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two groups, and the first one's mean error less the second's.

    Attributes:
        first, second: the groups.
        unlike: what they differ in.
        difference: in percentage points of top-1 error.
        interval: the one to rely on; None where nothing is known of what it would be over.
        bootstrap: the percentile interval of the same, whatever the number of seeds.
        welch: None with a single seed in a group, or without any spread.
        mcnemar: of one run against one, whose predictions are kept.
        p: what the verdict rests on. Of groups the larger of Welch's p, which is of other seeds on
            these very images, and the interval's, which is of other images too where these are
            kept: the difference is to be real in both senses (Berger, Technometrics 24, 1982,
            pp. 295-300). Of one run against one McNemar's. None where there is neither.
        p_holm: the same, adjusted for all pairs that are compared.
        needed: seeds that would tell a difference of so many points on these images; None where no
            spread is known.
        images_tell: points that so many images tell apart with 80 % power, for any others like
            them, however many the seeds; None without two seeds of each whose predictions are kept.
    """

    first: SeedGroup
    second: SeedGroup
    unlike: tuple[Unlike, ...]
    difference: float
    interval: Interval | None
    bootstrap: Interval | None
    welch: Welch | None
    mcnemar: McNemar | None
    p: float | None
    p_holm: float | None
    needed: Needed | None
    images_tell: float | None

    @property
    def outcome(self) -> Outcome:
        """Settled where the adjusted p is at most 5 % and the interval has no zero in it."""
        if self.p_holm is None or self.p_holm > RISK or self.interval is None:
            return Outcome.OPEN
        if self.interval.low <= 0 <= self.interval.high:
            return Outcome.OPEN
        return Outcome.FIRST if self.difference < 0 else Outcome.SECOND

    @property
    def is_of_single_runs(self) -> bool:
        """Whether one run is compared with one: that says nothing of other seeds."""
        return len(self.first.figures) == len(self.second.figures) == 1


def compare(contenders: Sequence[Contender], points: float) -> tuple[Contrast, ...]:
    """Every pair of the groups, each in the order in which they are given.

    Args:
        contenders: at least two, whose figures can be compared.
        points: difference for which the seeds are counted that would tell it.
    """
    found = [_contrast(first, second, points) for first, second in combinations(contenders, 2)]
    adjusted = iter(holm([each.p for each in found if each.p is not None]))
    return tuple(each if each.p is None else replace(each, p_holm=next(adjusted)) for each in found)


def _contrast(first: Contender, second: Contender, points: float) -> Contrast:
    ours, theirs = first.group.errors, second.group.errors
    pairs = None
    if first.wrong is not None and second.wrong is not None:
        pairs = paired(first.wrong, second.wrong)
    test = welch(ours, theirs)
    sound, of_runs = interval(ours, theirs, pairs), _of_single_runs(pairs)
    return Contrast(
        first=first.group,
        second=second.group,
        unlike=differing(first.group.figures[0], second.group.figures[0]),
        difference=spread(ours).mean - spread(theirs).mean,
        interval=sound,
        bootstrap=bootstrap(ours, theirs, pairs),
        welch=test,
        mcnemar=of_runs,
        p=_p(test, of_runs, sound),
        p_holm=None,
        needed=needed(ours, theirs, points),
        images_tell=_images_tell(pairs, ours, theirs),
    )


def _of_single_runs(pairs: Paired | None) -> McNemar | None:
    if pairs is None or pairs.counts.shape != (2, 2):
        return None
    return mcnemar(int(pairs.counts[1, 0]), int(pairs.counts[0, 1]))


def _images_tell(
    pairs: Paired | None, ours: Sequence[float], theirs: Sequence[float]
) -> float | None:
    if pairs is None or min(len(ours), len(theirs)) < 2:
        return None
    return DEVIATIONS_TOLD * math.sqrt(images_variance(pairs, ours, theirs))


def _p(test: Welch | None, of_runs: McNemar | None, sound: Interval | None) -> float | None:
    if of_runs is not None:
        return of_runs.p
    if test is None or sound is None or sound.p is None:
        return None
    return max(test.p, sound.p)
