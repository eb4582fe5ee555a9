"""Whether a claim holds: intervals over seeds, a verdict, and the seeds still needed.

A part's number has a Student interval: of one net's mean, or of the difference of two nets' means.
The degrees of freedom of a difference are the fewer seeds less one, which errs at most as often as
it says, however unlike the variances (Mickey and Brown, Annals of Mathematical Statistics 37, 1966,
pp. 639-642). Welch's approximation does not: by simulation it errs in up to 11 % of the cases where
one net has two seeds and the other ten.

A claim holds if each part's 95 % interval lies in the part's region: each must err for the claim
to err. It fails if one part's interval lies outside of the region; of k parts one may by chance, so
the interval is there of 1 - 5 %/k. So at most one verdict in twenty is wrong, claim by claim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from resnet_cluster.report.claims import (
    CLAIMS,
    Claim,
    Count,
    Measure,
    Net,
    Part,
    Unanswerable,
)
from resnet_cluster.report.evidence import Evidence, Sample
from resnet_cluster.report.statistics import spread

RISK = 0.05
"""Share of wrong verdicts, at most."""

POWER = 0.8
"""Chance of a verdict at the number of seeds that is said to be needed."""

SEEDS_SPREAD = 0.16
"""Deviation of the error between seeds, in points, where ours is unknown: that of Table 6's
ResNet-110, the paper's only one."""

FIRST_SEEDS = 3
"""Needed where nothing is known of the size of an effect."""

MOST_SEEDS = 50
"""More than these of a net are not asked for: the difference, if there is one, is small."""


class Verdict(StrEnum):
    """What our runs say of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "not enough evidence"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A part of a claim, and what is known of it.

    Attributes:
        part: the part.
        samples: of each of its nets; none of a count.
        effect: our number; None without a run of each net.
        interval: its 95 % interval; None with fewer than two seeds of a net.
        verdict: on the part.
        needed: seeds still needed of each net, in its order; `MOST_SEEDS` stands for too many.
    """

    part: Part | Count | Unanswerable
    samples: tuple[Sample, ...] = ()
    effect: float | None = None
    interval: tuple[float, float] | None = None
    verdict: Verdict = Verdict.OPEN
    needed: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim, its parts' findings, and the verdict."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """It fails with one part, and holds with all."""
        verdicts = {finding.verdict for finding in self.findings}
        if Verdict.FAILS in verdicts:
            return Verdict.FAILS
        return Verdict.HOLDS if verdicts == {Verdict.HOLDS} else Verdict.OPEN

    @property
    def needed(self) -> tuple[tuple[Net, int], ...]:
        """Seeds still needed of each net; none once there is a verdict."""
        if self.verdict is not Verdict.OPEN:
            return ()
        wanted: dict[Net, int] = {}
        for finding in self.findings:
            if isinstance(finding.part, Part):
                for net, number in zip(finding.part.nets, finding.needed, strict=True):
                    wanted[net] = max(number, wanted.get(net, 0))
        return tuple((net, number) for net, number in wanted.items() if number)


def judge(evidence: Evidence, claims: Sequence[Claim] = CLAIMS) -> tuple[Judged, ...]:
    """Each claim with its verdict."""
    return tuple(
        Judged(
            claim=claim,
            findings=tuple(_finding(part, evidence, len(claim.parts)) for part in claim.parts),
        )
        for claim in claims
    )


def interval(samples: Sequence[Sequence[float]], risk: float = RISK) -> tuple[float, float] | None:
    """Student interval of a mean, or of the first mean less the second.

    Args:
        samples: values of one net, or of two.
        risk: share of the intervals that miss, at most, if the values are normal.

    Returns:
        Its ends; None where a sample has fewer than two values.
    """
    if min(map(len, samples)) < 2:
        return None
    freedom = min(map(len, samples)) - 1
    variance = math.fsum(_variance(sample) / len(sample) for sample in samples)
    half = _student(1 - risk / 2, freedom) * math.sqrt(variance)
    middle = _effect(samples)
    return middle - half, middle + half


def has_spread(samples: Sequence[Sequence[float]]) -> bool:
    """Whether the values of some net differ.

    Errors are counts of images: equal ones do not say how far those of other seeds lie apart.
    """
    return any(len(set(sample)) > 1 for sample in samples)


def seeds_for(distance: float, std: float, num_nets: int) -> int:
    """Seeds of each net for which an effect is told from one `distance` away, mostly (`POWER`).

    Args:
        distance: from the effect to the border of the region.
        std: deviation between seeds.
        num_nets: one or two.

    Returns:
        At least two, at most `MOST_SEEDS`.
    """
    for n in range(2, MOST_SEEDS):
        width = _student(1 - RISK / 2, n - 1) + _student(POWER, n - 1)
        if width * std * math.sqrt(num_nets / n) <= distance:
            return n
    return MOST_SEEDS


def _finding(part: Part | Count | Unanswerable, evidence: Evidence, num_parts: int) -> Finding:
    if isinstance(part, Count):
        effect = part.theirs - part.ours
        verdict = Verdict.HOLDS if effect > 0 else Verdict.FAILS
        return Finding(part=part, effect=effect, verdict=verdict)
    if isinstance(part, Unanswerable):
        return Finding(part=part)
    samples = evidence.samples(part)
    values = [[one.value for one in sample] for sample in samples]
    has_interval = part.measure in _OTHER_UNITS or has_spread(values)
    verdict = _verdict(values, part.region, num_parts) if has_interval else Verdict.OPEN
    return Finding(
        part=part,
        samples=samples,
        effect=_effect(values) if all(values) else None,
        interval=interval(values) if has_interval else None,
        verdict=verdict,
        needed=_needed(part, values) if verdict is Verdict.OPEN else (0,) * len(values),
    )


def _verdict(
    values: Sequence[Sequence[float]], region: tuple[float, float], num_parts: int
) -> Verdict:
    usual, wide = interval(values), interval(values, RISK / num_parts)
    low, high = region
    if usual and low < usual[0] and usual[1] < high:
        return Verdict.HOLDS
    if wide and (wide[1] <= low or wide[0] >= high):
        return Verdict.FAILS
    return Verdict.OPEN


def _needed(part: Part, values: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """Of each net; one at least of that which has the fewest, for there is no verdict yet."""
    effect = _effect(values) if all(values) else part.published
    std = _pooled_std(values) or (None if part.measure in _OTHER_UNITS else SEEDS_SPREAD)
    wanted = FIRST_SEEDS
    if effect is not None and std is not None:
        distance = min(abs(effect - border) for border in part.region if math.isfinite(border))
        wanted = seeds_for(distance, std, len(values))
    if wanted == MOST_SEEDS:
        return (MOST_SEEDS,) * len(values)
    fewest = min(map(len, values))
    return tuple(max(wanted - len(own), 1 if len(own) == fewest else 0) for own in values)


_OTHER_UNITS = (Measure.RESPONSE, Measure.FORWARD, Measure.GRADIENT)
"""Measures that are no errors in percent."""


def _pooled_std(values: Sequence[Sequence[float]]) -> float | None:
    """Of the nets with two seeds or more."""
    several = [sample for sample in values if len(sample) > 1]
    squares = math.fsum(_variance(sample) * (len(sample) - 1) for sample in several)
    freedom = sum(len(sample) - 1 for sample in several)
    return math.sqrt(squares / freedom) if freedom else None


def _effect(values: Sequence[Sequence[float]]) -> float:
    first, *rest = (spread(sample).mean for sample in values)
    return first - math.fsum(rest)


def _variance(sample: Sequence[float]) -> float:
    std = spread(sample).std
    assert std is not None
    return std**2


def _student(share: float, freedom: int) -> float:
    """Quantile of Student's distribution."""
    from scipy.special import stdtrit  # a third of a second, for claims only

    return float(stdtrit(freedom, share))
