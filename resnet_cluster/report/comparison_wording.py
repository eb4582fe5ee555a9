"""What is found of two groups of seeds, in words."""

from __future__ import annotations

from collections.abc import Mapping

from resnet_cluster.report.comparison import Contrast, Outcome
from resnet_cluster.report.resampling import Interval, Method, Over
from resnet_cluster.report.seed_groups import SeedGroup
from resnet_cluster.report.significance import MOST_SEEDS, Needed
from resnet_cluster.report.wording import difference_text

Labels = Mapping[SeedGroup, str]
"""A, B, ... for the groups."""

_METHODS = {
    Method.STUDENT: "Student's interval",
    Method.BOOTSTRAP: "bootstrap interval",
    Method.BONETT_PRICE: "interval of Bonett and Price",
}


def verdict_text(contrast: Contrast, labels: Labels, *, is_family: bool) -> str:
    """`B is better by 0.41 points (95 %: 0.12 to 0.70); Welch p = 0.008, Holm 0.016.`

    Args:
        contrast: the two groups.
        labels: of the groups.
        is_family: whether more pairs are compared.
    """
    names = labels[contrast.first], labels[contrast.second]
    tests = _tests_text(contrast, is_family=is_family)
    if contrast.outcome is Outcome.OPEN:
        parts = (_open_text(contrast, names) + tests, _why_text(contrast, names))
        return " ".join(filter(None, parts))
    sign = -1 if contrast.outcome is Outcome.FIRST else 1
    better = names[0] if contrast.outcome is Outcome.FIRST else names[1]
    whose = f"Of these two runs {better}" if contrast.is_of_single_runs else better
    words = f"{whose} is better by {abs(contrast.difference):.2f} points"
    words += _ends_text(contrast.interval, sign) + tests
    return f"{words} Of other seeds that says nothing." if contrast.is_of_single_runs else words


def interval_text(interval: Interval) -> str:
    """`Student's interval over seeds and test images`."""
    over = {Over.SEEDS: "seeds", Over.IMAGES: "test images", Over.BOTH: "seeds and test images"}
    return f"{_METHODS[interval.method]} over {over[interval.over]}"


def unlike_text(contrast: Contrast) -> str:
    """`model ResNet-20, ResNet-32; train.lr 0.1, 0.05`; what a network's name says is not said."""
    keys = {each.key for each in contrast.unlike}
    said = [
        f"{each.key} {each.first}, {each.second}"
        for each in contrast.unlike
        if not ("model" in keys and each.key.startswith("model."))
    ]
    return "; ".join(said) or "nothing but their seeds"


def _open_text(contrast: Contrast, names: tuple[str, str]) -> str:
    words = f"Not settled: {names[0]} - {names[1]} is {difference_text(contrast.difference)} points"
    return words + _ends_text(contrast.interval, 1)


def _ends_text(interval: Interval | None, sign: int) -> str:
    if interval is None:
        return ""
    low, high = sorted(sign * end for end in (interval.low, interval.high))
    return f" (95 %: {round(low, 2) + 0.0:.2f} to {round(high, 2) + 0.0:.2f})"


def _tests_text(contrast: Contrast, *, is_family: bool) -> str:
    parts = []
    if contrast.welch:
        parts.append(f"Welch p {_p_text(contrast.welch.p)}")
        if contrast.p is not None and _p_text(contrast.p) != _p_text(contrast.welch.p):
            parts.append(f"by the interval {_p_text(contrast.p).removeprefix('= ')}")
    if contrast.mcnemar:
        parts.append(f"McNemar p {_p_text(contrast.mcnemar.p)}")
    if is_family and contrast.p_holm is not None:
        parts.append(f"Holm {_p_text(contrast.p_holm).removeprefix('= ')}")
    return f"; {', '.join(parts)}." if parts else "."


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _why_text(contrast: Contrast, names: tuple[str, str]) -> str:
    """What is missing: a spread, or seeds."""
    parts = []
    if contrast.welch is None and contrast.mcnemar is None:
        parts.append(_lacking_text(contrast, names))
    parts += [_needed_text(contrast, names), _images_text(contrast)]
    return " ".join(filter(None, parts))


def _images_text(contrast: Contrast) -> str:
    """That seeds are not all that is lacking."""
    wanted, told = contrast.needed, contrast.images_tell
    if wanted is None or told is None or told <= wanted.points:
        return ""
    return f"On other images like these no number of seeds tells less than {told:.2f} points apart."


def _lacking_text(contrast: Contrast, names: tuple[str, str]) -> str:
    sizes = len(contrast.first.figures), len(contrast.second.figures)
    single = [name for name, size in zip(names, sizes, strict=True) if size == 1]
    if single:
        return f"A single seed of {' and of '.join(single)} does not say how far others lie apart."
    return "All seeds of each have the same error: how far others lie apart is not known."


def _needed_text(contrast: Contrast, names: tuple[str, str]) -> str:
    wanted = contrast.needed
    if wanted is None:
        return "How many seeds would settle it is unknown: no spread between seeds is."
    if wanted.total >= MOST_SEEDS:
        return f"To tell {wanted.points:g} points apart, {MOST_SEEDS:,} seeds or more are needed."
    return _more_text(wanted, names)


def _more_text(wanted: Needed, names: tuple[str, str]) -> str:
    first, second = wanted.more
    if not first and not second:
        return (
            f"There are seeds enough to tell {wanted.points:g} points apart in four of five cases."
        )
    if first == second:
        whose = f"{first} more {'seed' if first == 1 else 'seeds'} of each"
    else:
        parts = zip(wanted.more, names, strict=True)
        whose = " and ".join(f"{more} more of {name}" for more, name in parts if more)
    return f"{whose} would tell {wanted.points:g} points apart in four of five cases."
