"""Best, mean and deviation, against the standard library and NumPy."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.report.statistics import spread

errors = st.floats(0, 100).map(lambda error: round(error, 2))


@given(st.lists(errors, min_size=2, max_size=20))
def test_a_spread_is_that_of_the_sample(values: list[float]) -> None:
    found = spread(values)
    assert found.n == len(values)
    assert found.best == np.min(values)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_a_single_figure_has_no_deviation() -> None:
    found = spread([8.61])
    assert (found.best, found.mean, found.std, found.n) == (8.61, 8.61, None, 1)


def test_five_runs_like_the_papers() -> None:
    found = spread([6.43, 6.55, 6.61, 6.65, 6.81])
    assert found.best == 6.43
    assert found.mean == pytest.approx(6.61)
    # ((0.18^2 + 0.06^2 + 0 + 0.04^2 + 0.20^2) / 4) ** 0.5
    assert found.std == pytest.approx(0.1393, abs=1e-4)
