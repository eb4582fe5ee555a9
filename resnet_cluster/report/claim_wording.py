"""Claims and what is found of them, as texts: the same in every format that people read."""

from __future__ import annotations

import math

from resnet_cluster.report.claims import Count, Measure, Part, Unanswerable
from resnet_cluster.report.verdicts import Finding
from resnet_cluster.report.wording import NOTHING

NOTES = (
    "n: seeds of each network; +: the part is true; x: it is false.",
    "Numbers are top-1 errors and their differences in points, unless another measure is named; "
    "intervals are of 95 %, over seeds.",
    "Evidence is whole trainings by the paper's recipe, of nets trained alike; a training error is "
    "that of the last epoch's augmented images.",
)


def part_text(part: Part | Count | Unanswerable) -> str:
    """`plain-34 - plain-18, training error at the end`."""
    if not isinstance(part, Part):
        return part.says
    nets = " \N{MINUS SIGN} ".join(net.name for net in part.nets)
    return f"{nets}, {part.measure}{_region_text(part.region)}"


def _region_text(region: tuple[float, float]) -> str:
    low, high = region
    if math.isfinite(low) and math.isfinite(high):
        return f", within ±{high:g}"
    if math.isfinite(high):
        return f", below {high:g}"
    return f", above {low:g}" if low else ""


def effect_text(finding: Finding) -> str:
    """`+2.85 [+2.31, +3.39]`; without an interval where there is none."""
    if finding.effect is None:
        return NOTHING
    if isinstance(finding.part, Count):
        return f"{finding.effect:+.2e}".replace("e+0", "e")
    text = number_text(finding, finding.effect)
    if finding.interval is None:
        return text
    low, high = (number_text(finding, end) for end in finding.interval)
    return f"{text} [{low}, {high}]"


def number_text(finding: Finding, number: float) -> str:
    """`+2.85` of a difference, `6.61` of a value."""
    assert isinstance(finding.part, Part)
    digits = 4 if finding.part.measure is Measure.RESPONSE else 2
    sign = "+" if finding.part.less else ""
    return f"{round(number, digits) + 0.0:{sign}.{digits}f}"


def published_effect_text(finding: Finding) -> str:
    """`+2.85`; a dash where the paper gives none."""
    published = finding.part.published if isinstance(finding.part, Part) else None
    return NOTHING if published is None else number_text(finding, published)


def seeds_text(finding: Finding) -> str:
    """Seeds of each net: `3, 5`."""
    return ", ".join(str(len(sample)) for sample in finding.samples)


def verdict_text(finding: Finding) -> str:
    """`holds`; of what runs cannot settle, why."""
    reason = f": {finding.part.why}" if isinstance(finding.part, Unanswerable) else ""
    return f"{finding.verdict}{reason}"
