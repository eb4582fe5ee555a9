"""The state of a run, from what its attempts have said."""

from __future__ import annotations

import subprocess
import sys

import pytest
from factories import START

from resnet_cluster.results import Attempt, RunState, run_state

ENDS = [state for state in RunState if state.is_terminal]


def started(number: int) -> Attempt:
    return Attempt(number=number, started_at=START)


def training(number: int) -> Attempt:
    return Attempt(number=number, started_at=START, training_at=START)


def ended(number: int, state: RunState) -> Attempt:
    return Attempt(number=number, started_at=START, state=state)


def test_a_run_waits_then_trains() -> None:
    assert run_state([]) is RunState.PENDING
    assert run_state([started(1)]) is RunState.PENDING
    assert run_state([training(1)]) is RunState.RUNNING


@pytest.mark.parametrize("end", ENDS)
def test_a_run_ends_as_its_last_attempt_did(end: RunState) -> None:
    assert run_state([ended(1, end)]) is end
    assert run_state([ended(1, RunState.LOST), ended(2, end)]) is end


@pytest.mark.parametrize("end", ENDS)
def test_a_later_attempt_recovers_then_trains(end: RunState) -> None:
    assert run_state([ended(1, end), started(2)]) is RunState.RECOVERING
    assert run_state([ended(1, end), training(2)]) is RunState.RUNNING


def test_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, resnet_cluster.results\n"
        "assert 'ResultStore' in resnet_cluster.results.__all__\n"
        "print(sorted({'sqlalchemy', 'alembic', 'torch', 'ray', 'ffcv'} & sys.modules.keys()))\n"
        "resnet_cluster.results.ResultStore\n"
        "print(sorted({'alembic', 'torch', 'ray', 'ffcv'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split("\n") == ["[]", "[]", ""], done.stderr
