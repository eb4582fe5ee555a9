"""How often the rule of `ablate --until-significant` is wrong, and how many seeds it takes.

    python benchmarks/sequential.py

Sweeps are simulated: errors of seeds are normal values, two of each net at first, then one more of
those that are in an open pair, by the rule itself. Printed are the share of the sweeps in which any
verdict is wrong, that in which any is right, and the mean number of seeds of a net; in brackets
three standard errors of the first.

Exit code 0: at most one sweep in twenty is wrong, as far as so many tell. 1: no.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnet_cluster.report.sequential import FIRST_LOOK, judge
from resnet_cluster.report.significance import RISK


@dataclass(frozen=True)
class Case:
    """Nets: the means of their errors, in deviations, and their deviations."""

    title: str
    means: Sequence[float]
    stds: Sequence[float]
    most: int


CASES = (
    *(Case(f"two alike, {most} seeds", (0, 0), (1, 1), most) for most in (5, 10, 20)),
    Case("two alike, deviations 1 and 3", (0, 0), (1, 3), 10),
    Case("two alike, deviations 1 and 10", (0, 0), (1, 10), 10),
    Case("four alike", (0,) * 4, (1,) * 4, 10),
    *(Case(f"two, {apart} apart", (0, apart), (1, 1), 10) for apart in (1, 2, 3, 5)),
    Case("four, each 3 from the next", (0, 3, 6, 9), (1,) * 4, 10),
    Case("one 3 better than three alike", (-3, 0, 0, 0), (1,) * 4, 10),
)
ROUNDS = 4_000


def simulated(case: Case, rounds: int) -> tuple[float, float, float]:
    """Shares of sweeps with a wrong verdict and with a right one, and mean seeds of a net."""
    draw = np.random.default_rng(11)
    wrong = right = seeds = 0
    for _ in range(rounds):
        errors = [draw.normal(*of, case.most) for of in zip(case.means, case.stds, strict=True)]
        used = [FIRST_LOOK] * len(errors)
        while True:
            known = [list(each[:n]) for each, n in zip(errors, used, strict=True)]
            found = judge(known, case.most)
            if not found.wanting:
                break
            for place in found.wanting:
                used[place] += 1
        told = [case.means[pair.first] < case.means[pair.second] for pair in found.settled]
        wrong, right, seeds = wrong + (not all(told)), right + any(told), seeds + sum(used)
    return wrong / rounds, right / rounds, seeds / rounds / len(case.means)


def main() -> int:
    """Simulate, print and judge."""
    bound = 3 * math.sqrt(RISK * (1 - RISK) / ROUNDS)
    most_wrong = 0.0
    for case in CASES:
        wrong, right, seeds = simulated(case, ROUNDS)
        most_wrong = max(most_wrong, wrong)
        print(
            f"{case.title:<32} wrong {100 * wrong:4.1f} % ({100 * bound:.1f})  "
            f"told {100 * right:5.1f} %  seeds {seeds:5.2f} of {case.most}",
            flush=True,
        )
    is_good = most_wrong <= RISK + bound
    print(f"{'PASS' if is_good else 'FAIL'}: at most {100 * most_wrong:.1f} % of sweeps are wrong")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
