"""Looking again after each seed: a rule that may be asked as often as seeds come in.

Who tests after every seed and stops at the first p of 5 % is wrong in far more than one case of
twenty. Pocock (Biometrika 64, 1977, pp. 191-199) asks for the same smaller level at each look, so
that all looks together err in 5 %; it is found here for looks after any numbers of seeds, by the
recursion of Armitage, McPherson and Rowe (Journal of the Royal Statistical Society A 132, 1969, pp.
235-244). Of errors whose deviation is estimated the level is asked of their t-test (Jennison and
Turnbull, Group Sequential Methods, 2000, section 4.4). Of several pairs Holm's levels are used at
each look, where one that is settled leaves its level to the others (Maurer and Bretz, Statistics in
Biopharmaceutical Research 5, 2013, pp. 311-320).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from resnet_cluster.report.significance import RISK, Welch, student_p, welch
from resnet_cluster.report.statistics import spread

FIRST_LOOK = 2
"""Seeds of each group at the first look: a deviation takes two."""
ENOUGH_SEEDS = 5
"""From which on Welch's degrees of freedom are trusted at every look."""
_NODES = 64
"""Of the integrals: Pocock's constants come out to all of their published digits."""


@dataclass(frozen=True, kw_only=True)
class SettledPair:
    """Two groups whose difference is real.

    Attributes:
        first, second: their places; the first is the better one.
        num_seeds: of each, at the look that told it.
        difference: of their mean errors then, in points, below zero.
        p: of Student's test then.
        level: below which p had to be.
    """

    first: int
    second: int
    num_seeds: int
    difference: float
    p: float
    level: float


@dataclass(frozen=True, kw_only=True)
class SequentialVerdict:
    """What is settled, and which groups want another seed.

    Attributes:
        settled: in the order in which that was told.
        open: pairs that are not, by the places of their groups.
        wanting: groups that want more seeds, by their places.
        num_seeds: of each of those at the last look.
    """

    settled: tuple[SettledPair, ...]
    open: tuple[tuple[int, int], ...]
    wanting: tuple[int, ...]
    num_seeds: int


def judge(
    groups: Sequence[Sequence[float]], most: int, *, stuck: Collection[int] = ()
) -> SequentialVerdict:
    """Look at the groups after each seed that all open pairs have.

    A group whose pairs are settled needs no more seeds, and those that it has all the same are not
    looked at.

    Args:
        groups: errors in percent of each group's seeds, in the order of the seeds.
        most: seeds of each group, at most.
        stuck: places of groups that will have no more seeds: their pairs stay as they are.
    """
    open_pairs = list(combinations(range(len(groups)), 2))
    settled: list[SettledPair] = []
    looked = 0
    for num_seeds in range(FIRST_LOOK, most + 1):
        ended = {place for place in stuck if len(groups[place]) < num_seeds}
        looked_at = [pair for pair in open_pairs if not ended.intersection(pair)]
        in_question = {place for pair in looked_at for place in pair}
        if not looked_at or min(len(groups[place]) for place in in_question) < num_seeds:
            break
        looked = num_seeds
        now = _look(groups, looked_at, len(open_pairs), num_seeds, most)
        settled += now
        told = {frozenset((each.first, each.second)) for each in now}
        open_pairs = [pair for pair in open_pairs if frozenset(pair) not in told]
    ended = {place for place in stuck if len(groups[place]) <= looked}
    wanting = {place for pair in open_pairs if not ended.intersection(pair) for place in pair}
    return SequentialVerdict(
        settled=tuple(settled),
        open=tuple(open_pairs),
        wanting=tuple(sorted(wanting)) if looked < most else (),
        num_seeds=looked,
    )


def _look(
    groups: Sequence[Sequence[float]],
    pairs: Sequence[tuple[int, int]],
    num_open: int,
    num_seeds: int,
    most: int,
) -> list[SettledPair]:
    """Pairs that a look settles, each at Holm's level of those that are open then.

    Args:
        groups: errors of all of them.
        pairs: that are looked at.
        num_open: pairs that are open, those that cannot be looked at included.
        num_seeds: of each group that are looked at.
        most: seeds of the last look.
    """
    told: list[tuple[float, float, tuple[int, int]]] = []
    found: list[SettledPair] = []
    for pair in pairs:
        ours, theirs = (groups[place][:num_seeds] for place in pair)
        test = welch(ours, theirs)
        if test is not None:
            difference = spread(ours).mean - spread(theirs).mean
            told.append((_timid_p(test, num_seeds), difference, pair))
    for p, difference, (first, second) in sorted(told):
        level = level_of_a_look(most, RISK / (num_open - len(found)))
        if p > level:
            break
        better, worse = (first, second) if difference < 0 else (second, first)
        found.append(
            SettledPair(
                first=better,
                second=worse,
                num_seeds=num_seeds,
                difference=-abs(difference),
                p=p,
                level=level,
            )
        )
    return found


def _timid_p(test: Welch, num_seeds: int) -> float:
    """Of Welch's t, below five seeds with the fewest degrees of freedom that it can have.

    So few seeds say little of which deviation is the larger, and Welch's own are too many where one
    is ten times the other (`benchmarks/sequential.py` has that case).
    """
    freedom = num_seeds - 1 if num_seeds < ENOUGH_SEEDS else test.freedom
    return student_p(test.t, freedom)


@cache
def level_of_a_look(most: int, risk: float = RISK) -> float:
    """Below which a p must be at a look, so that all looks together err in no more than `risk`.

    Args:
        most: seeds of each group at the last look; the first is after two, and one after each more.
        risk: of all looks together.
    """
    from scipy.optimize import brentq

    looks = range(FIRST_LOOK, most + 1)
    least, greatest = _normal_bound(risk), _normal_bound(risk / len(looks))
    if least == greatest:
        return risk
    bound = brentq(lambda z: 1 - chance_to_stay(z, looks) - risk, least, greatest)
    return float(math.erfc(bound / math.sqrt(2)))


def chance_to_stay(bound: float, looks: Sequence[int]) -> float:
    """Chance that a sum of normal values is within `bound` of its deviations at every look.

    Args:
        bound: in deviations.
        looks: numbers of values after which it is looked at, rising.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    before, places, shares = 0, np.zeros(1), np.ones(1)
    for look in looks:
        edge = bound * math.sqrt(look)
        new = edge * nodes
        steps = new[:, None] - places[None, :]
        variance = look - before
        density = np.exp(-(steps**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        shares = (density @ shares) * edge * weights
        before, places = look, new
    return float(shares.sum())


def _normal_bound(risk: float) -> float:
    from scipy.special import ndtri

    return float(-ndtri(risk / 2))
