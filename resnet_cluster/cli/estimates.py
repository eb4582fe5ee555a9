"""What runs are expected to take, and what they took, in words and as objects for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from resnet_cluster.cli.display import duration
from resnet_cluster.cli.output import counted, note, print_table

if TYPE_CHECKING:
    from resnet_cluster.results import SweepEstimateRecord, SweepOutcomeRecord, SweepSummary

HEADER = ("trial", "time", "hours", "disk")


def show(estimate: SweepEstimateRecord, stream: TextIO | None = None) -> None:
    """An estimate for people: each trial, then all of them on one line.

    Args:
        estimate: the estimate.
        stream: for both; stdout for the first and stderr for the last by default.
    """
    header = (*HEADER, "cost") if estimate.price_per_hour else HEADER
    print_table(header, estimate_rows(estimate), stream=stream)
    note(estimate_text(estimate), stream=stream)


def estimate_rows(estimate: SweepEstimateRecord) -> Sequence[Sequence[str]]:
    """Rows under `HEADER`, and the cost where there is a price."""
    rows: list[Sequence[str]] = []
    for trial in estimate.trials:
        cost = estimate.cost(trial.hours)
        row = (trial.name, duration(trial.seconds), f"{trial.hours:.3f}", disk(trial.disk_bytes))
        rows.append(row if cost is None else (*row, money(cost)))
    return rows


def estimate_text(estimate: SweepEstimateRecord) -> str:
    """All trials together, on one line."""
    parts = [
        f"about {duration(estimate.seconds)} for {counted(len(estimate.trials), 'trial')}, "
        f"{estimate.at_once} at a time on {estimate.device}",
        f"{estimate.hours:.3f} {estimate.unit}",
        f"{disk(estimate.disk_bytes)} of disk",
    ]
    cost = estimate.cost()
    if cost is not None:
        parts.append(f"cost {money(cost)} at {estimate.price_per_hour:g} an hour")
    return "; ".join(parts)


def total_text(estimates: Sequence[SweepEstimateRecord]) -> str:
    """What commands take one after the other, on one line."""
    hours = sum(each.hours for each in estimates)
    parts = [
        f"about {duration(sum(each.seconds for each in estimates))}",
        f"{hours:.3f} {estimates[0].unit}",
        f"{disk(sum(each.disk_bytes for each in estimates))} of disk",
    ]
    cost = estimates[0].cost(hours)
    return "; ".join(parts if cost is None else [*parts, f"cost {money(cost)}"])


def outcome_lines(sweep: SweepSummary) -> Iterator[str]:
    """What each attempt at a sweep was expected to take, and what it took."""
    estimates = {each.attempt: each for each in sweep.estimates}
    outcomes = {each.attempt: each for each in sweep.outcomes}
    for attempt in sorted(estimates.keys() | outcomes.keys()):
        parts = []
        if attempt in estimates:
            parts.append(f"expected: {estimate_text(estimates[attempt])}")
        if attempt in outcomes:
            parts.append(f"taken: {outcome_text(outcomes[attempt], estimates.get(attempt))}")
        yield from (f"attempt {attempt}, {part}" for part in parts)


def outcome_text(outcome: SweepOutcomeRecord, estimate: SweepEstimateRecord | None) -> str:
    """What an attempt took, beside what was expected of it."""
    text = (
        f"{duration(outcome.seconds)}; {outcome.hours:.3f} {outcome.unit}; "
        f"{disk(outcome.disk_bytes)} of disk"
    )
    if estimate is None:
        return text
    cost = estimate.cost(outcome.hours)
    text += "" if cost is None else f"; cost {money(cost)}"
    if not outcome.is_whole or not estimate.hours:
        return text
    return f"{text}; {100 * outcome.hours / estimate.hours:.0f} % of the hours expected"


def estimate_object(estimate: SweepEstimateRecord | None) -> dict[str, Any] | None:
    """An estimate for programs."""
    if estimate is None:
        return None
    return estimate.model_dump(mode="json") | {"cost": estimate.cost()}


def money(cost: float) -> str:
    """`12.34`; of less than one with more places."""
    return f"{cost:,.2f}" if cost >= 1 else f"{cost:.4f}"


def disk(num_bytes: int) -> str:
    """`1.23 GB`."""
    size = float(num_bytes)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB" if size < 1000 else f"{size:,.0f} GB"
