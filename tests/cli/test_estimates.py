"""What is said of an estimate and of an outcome."""

from __future__ import annotations

import io

import pytest

from resnet_cluster.cli.estimates import (
    disk,
    estimate_object,
    estimate_text,
    outcome_text,
    show,
    total_text,
)
from resnet_cluster.results import (
    SweepEstimateRecord,
    SweepOutcomeRecord,
    TrialEstimate,
    TrialOutcome,
)


def estimate(price: float | None = 2.5, **changes: float) -> SweepEstimateRecord:
    trials = tuple(
        TrialEstimate(key=name, name=name, seconds=3600.0, hours=0.5, disk_bytes=1_500_000)
        for name in ("deep", "deeper")
    )
    values = {"seconds": 3725.0, "hours": 1.0, "disk_bytes": 3_000_000} | changes
    return SweepEstimateRecord.model_validate(
        values
        | {
            "attempt": 1,
            "device": "a GPU",
            "at_once": 2,
            "unit": "GPU-hours",
            "price_per_hour": price,
            "trials": trials,
        }
    )


OUTCOME = SweepOutcomeRecord(
    attempt=1,
    unit="GPU-hours",
    seconds=4000.0,
    hours=1.2,
    disk_bytes=2_900_000,
    is_whole=True,
    trials=(TrialOutcome(run_id="r-1", seconds=4000.0, hours=1.2),),
)


def test_an_estimate_in_words() -> None:
    text = estimate_text(estimate())
    assert text == (
        "about 1:02:05 for 2 trials, 2 at a time on a GPU; 1.000 GPU-hours; 3 MB of disk; "
        "cost 2.50 at 2.5 an hour"
    )
    assert "cost" not in estimate_text(estimate(price=None))


@pytest.mark.parametrize(("price", "columns"), [(2.5, 5), (None, 4)])
def test_an_estimate_as_a_table(price: float | None, columns: int) -> None:
    out = io.StringIO()
    show(estimate(price=price), out)
    header, first, second, whole = out.getvalue().splitlines()
    assert len(header.split()) == columns
    assert first.split()[:3] == ["deep", "1:00:00", "0.500"]
    assert second.split()[0] == "deeper"
    assert first.split()[-1] == ("1.25" if price else "MB")
    assert whole.startswith("about 1:02:05")


def test_an_outcome_beside_what_was_expected() -> None:
    assert outcome_text(OUTCOME, estimate()) == (
        "1:06:40; 1.200 GPU-hours; 2.9 MB of disk; cost 3.00; 120 % of the hours expected"
    )
    stopped = OUTCOME.model_copy(update={"is_whole": False})
    assert outcome_text(stopped, estimate()).endswith("disk; cost 3.00")
    assert outcome_text(OUTCOME, None) == "1:06:40; 1.200 GPU-hours; 2.9 MB of disk"
    assert "%" not in outcome_text(OUTCOME, estimate(hours=0.0))


def test_commands_are_summed() -> None:
    text = total_text([estimate(), estimate(hours=2.0)])
    assert text == "about 2:04:10; 3.000 GPU-hours; 6 MB of disk; cost 7.50"


def test_an_estimate_for_programs() -> None:
    found = estimate_object(estimate())
    assert found is not None
    assert (found["cost"], found["hours"], len(found["trials"])) == (2.5, 1.0, 2)
    assert estimate_object(None) is None


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 KB"),
        (2_500_000_000, "2.5 GB"),
        (10**13, "10,000 GB"),
    ],
)
def test_sizes(num_bytes: int, text: str) -> None:
    assert disk(num_bytes) == text
