"""What a trial does where its experiment has a run that others have begun."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from factories import make_attempt_events, make_job, make_run_record

from resnet_cluster.cluster import trial
from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.key_claim import claim_key, give_key, key_owner
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.sweep_order import TrialOrder
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    EventLog,
    RunState,
    own_identity,
)

KEY = "ab" * 32
JOB = make_job({"resources": {"workers": 1}})


class _Board:
    def of(self, key: str) -> _Board:
        return self


def make_order(root: Path, run_id: str, *, is_rerun: bool = False) -> TrialOrder:
    return TrialOrder(
        place=0,
        job=JOB,
        dataset_folder=root / "data",
        num_epochs=2,
        run_dir=root / run_id,
        record=make_run_record(JOB, run_id=run_id, key=KEY),
        is_rerun=is_rerun,
    )


def make_task(order: TrialOrder) -> TrialTask:
    board: Any = _Board()
    cluster = Cluster(address=None, num_cpus=2, num_gpus=0, num_nodes=1)
    sweep_dir = order.run_dir.parent / "s-1"
    return order.task(cluster, board, trials_per_gpu=1, sweep_dir=sweep_dir, attempt=1)


def test_an_experiment_is_begun_once(tmp_path: Path) -> None:
    first, second = (make_order(tmp_path, run_id) for run_id in ("r-1", "r-2"))
    assert second.actual_run_dir == tmp_path / "r-2"
    begun = trial._begun(make_task(first))
    assert begun.run_dir == tmp_path / "r-1"
    assert EventLog(tmp_path / "r-1").names() == ["run"]
    other = trial._begun(make_task(second))
    assert (other.run_dir, other.record) == (tmp_path / "r-1", None)
    assert not (tmp_path / "r-2").exists()
    assert second.actual_run_dir == first.actual_run_dir == tmp_path / "r-1"
    again = trial._begun(make_task(make_order(tmp_path, "r-3", is_rerun=True)))
    assert again.run_dir == tmp_path / "r-3"
    assert key_owner(tmp_path, KEY) == "r-3"


def test_a_run_that_is_gone_has_no_experiment(tmp_path: Path) -> None:
    give_key(tmp_path, KEY, "r-1")
    assert key_owner(tmp_path, KEY) is None
    assert claim_key(tmp_path, KEY, "r-2") == "r-2"
    EventLog(tmp_path / "r-2").record(make_run_record(JOB, run_id="r-2", key=KEY))
    assert claim_key(tmp_path, KEY, "r-3") == "r-2"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (RunState.SUCCEEDED, RunState.SUCCEEDED),
        (RunState.DIVERGED, RunState.DIVERGED),
        (RunState.FAILED, None),
        (RunState.CANCELLED, None),
        (None, None),  # nobody has begun to train it
    ],
)
def test_another_processs_result_is_taken_and_the_rest_gone_on_with(
    end: RunState | None, expected: RunState | None, tmp_path: Path
) -> None:
    task = make_task(make_order(tmp_path, "r-1"))
    for event in make_attempt_events(end) if end else ():
        EventLog(task.run_dir).record(event)
    assert trial._awaited(task) is expected


def test_another_process_is_waited_for_until_the_sweep_is_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "LOOK_S", 0.1)
    task = make_task(make_order(tmp_path, "r-1"))
    log = EventLog(task.run_dir)
    log.record(AttemptStarted(attempt=1, owner="laptop:1", identity=own_identity()))
    found: list[RunState | None] = []
    waiting = threading.Thread(target=lambda: found.append(trial._awaited(task)))
    waiting.start()
    time.sleep(0.5)
    assert waiting.is_alive()
    RunFolder(task.sweep_dir).request_stop(task.sweep_attempt)
    waiting.join(timeout=20)
    assert found == [RunState.PENDING]
    # The run goes on: it is its own driver's to stop.
    assert not RunFolder(task.run_dir).is_stop_requested(1)
    assert log.record(AttemptEnded(attempt=1, state=RunState.SUCCEEDED))
    assert trial.SweepStop(task).times == 1
