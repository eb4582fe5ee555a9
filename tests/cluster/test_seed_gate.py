"""Which seeds are wanted, of trials that are not run here: the rule itself has its own tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories import make_evaluation, make_run_record
from tiny_runs import tiny_job

from resnet_cluster.cluster import admission as admission_module
from resnet_cluster.cluster.admission import Admission
from resnet_cluster.cluster.key_claim import give_key
from resnet_cluster.cluster.seed_gate import SeedGate
from resnet_cluster.cluster.sweep_order import TrialOrder
from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    EventLog,
    RunState,
    SweepTrial,
    own_identity,
)
from resnet_cluster.spec import JobSpec

MOST = 4
JOB = JobSpec.model_validate(tiny_job({"resources.workers": 1}))


def trials(*names: str) -> tuple[SweepTrial, ...]:
    """Four seeds of each combination."""
    return tuple(
        SweepTrial(name=f"{name}-s{seed}", key=f"{name}{seed}" * 16, point={"net": name}, seed=seed)
        for name in names
        for seed in range(MOST)
    )


class TestGate:
    gate = SeedGate(trials("good", "bad", "ugly"))

    def test_two_seeds_of_each_at_first(self) -> None:
        state = self.gate.look({})
        assert self.gate.groups == ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11))
        assert state.wanted == {0, 1, 4, 5, 8, 9}
        assert self.gate.look({0: 5.0, 4: 7.0}).wanted == {1, 5, 8, 9}

    def test_then_one_more_of_those_that_are_in_question(self) -> None:
        errors: dict[int, float | None] = {0: 5.0, 1: 5.0001, 4: 7.0, 5: 7.0001, 8: 7.3, 9: 6.9}
        state = self.gate.look(errors)
        assert [(pair.first, pair.second) for pair in state.verdict.settled] == [(0, 1)]
        assert state.wanted == {2, 6, 10}  # good and ugly are open, and bad and ugly
        assert self.gate.look(errors | {2: 5.0}).wanted == {6, 10}

    def test_a_seed_without_a_figure_ends_its_combination(self) -> None:
        errors: dict[int, float | None] = {0: 5.0, 1: 5.3, 4: 5.2, 5: None, 8: 5.1, 9: 5.4}
        state = self.gate.look(errors)
        assert state.wanted == {2, 10}
        assert "good and bad: not settled after 2 seeds of each" in self.gate.lines(state.verdict)

    def test_nothing_is_wanted_when_all_seeds_are_there(self) -> None:
        errors: dict[int, float | None] = {place: 5 + place % 4 / 10 for place in range(12)}
        state = self.gate.look(errors)
        assert (state.wanted, state.verdict.num_seeds) == (frozenset(), MOST)

    def test_what_is_settled_is_said(self) -> None:
        errors: dict[int, float | None] = {0: 5.0, 1: 5.0001, 4: 7.0, 5: 7.0001}
        gate = SeedGate(trials("good", "bad"))
        state = gate.look(errors)
        assert state.wanted == frozenset()
        (line,) = gate.lines(state.verdict)
        assert line.startswith(
            "good is better than bad by 2.00 points (after 2 seeds of each: p = "
        )


def test_a_name_without_a_seed_at_its_end_is_whole() -> None:
    """A name that would be too long ends in a digest."""
    gate = SeedGate(trials("net-s-wide"))
    assert gate.name(0) == "net-s-wide"
    cut = tuple(each.model_copy(update={"name": f"{each.name}-0a1b2c3d"}) for each in gate.trials)
    assert SeedGate(cut).name(0) == "net-s-wide-s0-0a1b2c3d"


def order(root: Path, place: int) -> TrialOrder:
    return TrialOrder(
        place=place,
        job=JOB,
        dataset_folder=root,
        num_epochs=3,
        run_dir=root / f"r-{place}",
        record=None,
    )


def finish(root: Path, trial: SweepTrial, place: int, error: float | None) -> None:
    """A run of a trial, with a figure or without one."""
    log = EventLog(root / f"r-{place}")
    record = make_run_record(JOB, run_id=f"r-{place}", key=trial.key)
    log.record(record)
    log.record(AttemptStarted(attempt=1, owner="laptop:1"))
    if error is not None:
        log.record(make_evaluation(record, error))
    state = RunState.DIVERGED if error is None else RunState.SUCCEEDED
    log.record(AttemptEnded(attempt=1, state=state))
    give_key(root, trial.key, f"r-{place}")


@pytest.fixture
def planned() -> tuple[SweepTrial, ...]:
    return trials("good", "bad")


def test_trials_are_let_in_as_they_are_wanted(
    planned: tuple[SweepTrial, ...], tmp_path: Path
) -> None:
    finish(tmp_path, planned[0], 0, 5.0)  # by an earlier sweep
    orders = [order(tmp_path, place) for place in range(1, 8)]
    admission = Admission(planned, orders, tmp_path)
    assert admission.look(()) == ()
    assert [admission.next() for _ in range(4)] == [0, 3, 4, None]  # places 1, 4 and 5
    assert not admission.is_closed
    for place, error in ((1, 5.5), (4, 7.0)):
        finish(tmp_path, planned[place], place, error)
    assert admission.look({0, 3}) == ()
    assert admission.next() is None
    finish(tmp_path, planned[5], 5, 5.4)
    assert admission.look({0, 3, 4}) == ()
    assert [admission.next() for _ in range(3)] == [1, 5, None]  # the third seeds
    finish(tmp_path, planned[2], 2, 5.2)
    finish(tmp_path, planned[6], 6, None)
    (line,) = admission.look({0, 1, 3, 4, 5})
    assert line == "good and bad: not settled after 2 seeds of each"
    assert (admission.next(), admission.is_closed, admission.num_left_out) == (None, True, 2)


def test_what_another_process_trains_is_waited_for(
    planned: tuple[SweepTrial, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_module, "ELSEWHERE_EVERY_S", 0.0)
    for place, error in ((0, 5.0), (1, 5.0001), (4, 7.0)):
        finish(tmp_path, planned[place], place, error)
    orders = [order(tmp_path, place) for place in (2, 3, 6, 7)]  # 5 is left to another
    admission = Admission(planned, orders, tmp_path)
    assert admission.look(()) == ()
    assert (admission.next(), admission.is_closed) == (None, False)
    finish(tmp_path, planned[5], 5, 7.0001)
    (line,) = admission.look(())
    assert line.startswith("good is better than bad by 2.00 points")
    assert (admission.next(), admission.is_closed, admission.num_left_out) == (None, True, 4)


def test_what_another_process_has_failed_at_is_not_waited_for(
    planned: tuple[SweepTrial, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_module, "ELSEWHERE_EVERY_S", 0.0)
    for place, error in ((0, 5.0), (1, 5.2), (4, 5.1)):
        finish(tmp_path, planned[place], place, error)
    log = EventLog(tmp_path / "r-5")
    log.record(make_run_record(JOB, run_id="r-5", key=planned[5].key))
    give_key(tmp_path, planned[5].key, "r-5")
    orders = [order(tmp_path, place) for place in (2, 3, 6, 7)]
    admission = Admission(planned, orders, tmp_path)
    log.record(AttemptStarted(attempt=1, owner="laptop:1", identity=own_identity()))
    assert admission.look(()) == ()
    assert not admission.is_closed
    log.record(AttemptEnded(attempt=1, state=RunState.FAILED))
    assert admission.look(()) == ("good and bad: not settled",)
    assert admission.is_closed
