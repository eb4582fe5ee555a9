"""Which trials are packed together, what cannot be, and what a pack does where one of it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import make_job, make_run_record
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.cluster import trial, worker_output
from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.metering import hours_of
from resnet_cluster.cluster.packs import check_packs, packs_of
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.sweep_order import SweepOptions, TrialOrder
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.errors import RunFailedError, UsageError
from resnet_cluster.results import AttemptEnded, AttemptStarted, EventLog, RunState
from resnet_cluster.spec import JobSpec

ONE = {"resources.workers": 1}
CLUSTER = Cluster(address=None, num_cpus=8, num_gpus=2, num_nodes=1)


def job(seed: int, **changes: Any) -> JobSpec:
    return make_job(
        ONE
        | {"seed": seed, "name": f"s{seed}"}
        | {k.replace("_", "."): v for k, v in changes.items()}
    )


@given(
    st.lists(st.tuples(st.sampled_from([8, 14, 20]), st.integers(0, 9)), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_packs_hold_each_trial_once_and_differ_in_seeds_alone(
    trials: list[tuple[int, int]], size: int
) -> None:
    packs = packs_of((job(seed, model_depth=depth) for depth, seed in trials), size)
    assert sorted(place for pack in packs for place in pack) == list(range(len(trials)))
    assert list(packs) == sorted(packs)
    for pack in packs:
        assert 1 <= len(pack) <= size
        assert len({trials[place][0] for place in pack}) == 1
    for depth in {depth for depth, _ in trials}:  # as few as can be
        number = sum(each == depth for each, _ in trials)
        own = [pack for pack in packs if trials[pack[0]][0] == depth]
        assert len(own) == -(-number // size)


TORCHVISION = {"family": "torchvision", "arch": "resnet18"}


@pytest.mark.parametrize(
    ("jobs", "options", "message"),
    [
        ([job(0), job(0, model_depth=8)], {}, "there is one of each"),
        ([job(0, resources_workers=2), job(1, resources_workers=2)], {}, "has 2 workers"),
        ([job(0, model=TORCHVISION), job(1, model=TORCHVISION)], {}, "family torchvision"),
        ([job(0), job(1)], {"scheduler": "asha"}, "--scheduler asha decides"),
        ([job(0), job(1)], {"until_significant": True}, "--until-significant decides"),
    ],
)
def test_what_cannot_be_packed_is_refused(
    jobs: list[JobSpec], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        check_packs(jobs, SweepOptions(pack=2, **options))
    assert raised.value.mend
    check_packs(jobs, SweepOptions(**options))


def test_each_of_a_pack_pays_its_part() -> None:
    alone = hours_of(job(0), 3600.0, CLUSTER, 1)
    assert hours_of(job(0), 3600.0, CLUSTER, 1, 4) == alone / 4


class _Board:
    def of(self, key: str) -> _Board:
        return self


def make_tasks(root: Path, number: int) -> list[TrialTask]:
    board: Any = _Board()
    return [
        TrialOrder(
            place=seed,
            job=job(seed),
            dataset_folder=root / "data",
            num_epochs=2,
            run_dir=root / f"r-{seed}",
            record=make_run_record(job(seed), run_id=f"r-{seed}", key=f"{seed:064d}"),
        ).task(CLUSTER, board, trials_per_gpu=1, sweep_dir=root / "s-1", attempt=1)
        for seed in range(number)
    ]


Ending = Callable[[TrialTask, int], RunState]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Tune is told."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(trial.tune, "report", told.append)
    return told


def let_attempts_end(monkeypatch: pytest.MonkeyPatch, end: Ending) -> None:
    """Attempts that are recorded as real ones are, and train nothing."""

    def attempt(task: TrialTask) -> AttemptEnded:
        log = EventLog(task.run_dir)
        number = len([name for name in log.names() if name.endswith("-started")]) + 1
        log.record(AttemptStarted(attempt=number, owner="here:1"))
        ended = AttemptEnded(attempt=number, state=end(task, number))
        log.record(ended)
        return ended

    monkeypatch.setattr(trial, "_attempt_here", attempt)


def test_an_attempt_whose_log_cannot_be_written_says_so(tmp_path: Path) -> None:
    (task,) = make_tasks(tmp_path, 1)
    begun = trial._begun(task)
    (task.run_dir / "logs").write_text("in the way")
    ended = trial._attempt_here(begun)
    assert ended.state is RunState.FAILED
    assert "FileExistsError" in ended.message
    assert "logs" in ended.message


def num_attempts(task: TrialTask) -> int:
    return len([name for name in EventLog(task.run_dir).names() if name.endswith("-ended")])


def test_one_that_fails_leaves_the_others_and_is_tried_again_alone(
    tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped meanwhile is left alone too; another attempt at the sweep goes on."""
    tasks = make_tasks(tmp_path, 4)
    first = {"r-1": RunState.FAILED, "r-2": RunState.DIVERGED, "r-3": RunState.CANCELLED}

    def end(task: TrialTask, number: int) -> RunState:
        return first.get(task.run_dir.name, RunState.SUCCEEDED) if number == 1 else later

    later = RunState.SUCCEEDED
    let_attempts_end(monkeypatch, end)
    sweep = EventLog(tasks[0].sweep_dir)
    sweep.record(AttemptStarted(attempt=1, owner="here:1"))
    with pytest.raises(RunFailedError, match="the attempt at r-1 failed"):
        trial.run_trial({"trials": [0, 1, 2, 3]}, tasks)
    assert reports == []
    trial.run_trial({"trials": [0, 1, 2, 3]}, tasks)
    assert reports == [{"state": "SUCCEEDED"}]
    assert [num_attempts(task) for task in tasks] == [1, 2, 1, 1]
    sweep.record(AttemptStarted(attempt=2, owner="here:1"))
    trial.run_trial({"trials": [0, 1, 2, 3]}, [replace(task, sweep_attempt=2) for task in tasks])
    assert [num_attempts(task) for task in tasks] == [1, 2, 1, 2]


def test_all_of_a_pack_run_at_once_and_share_its_cores(
    tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = make_tasks(tmp_path, 2)
    cores: list[int] = []
    both = threading.Barrier(2)

    def end(task: TrialTask, number: int) -> RunState:
        cores.append(task.num_cpus)
        both.wait(20)  # for the other to have begun
        return RunState.DIVERGED

    let_attempts_end(monkeypatch, end)
    trial.run_trial({"trials": [0, 1]}, tasks)
    assert (tasks[0].num_cpus, cores) == (4, [2, 2])
    assert reports == [{"state": "DIVERGED"}]


def test_a_sweep_that_stops_begins_no_pack(tmp_path: Path, reports: list[dict[str, Any]]) -> None:
    tasks = make_tasks(tmp_path, 2)
    RunFolder(tasks[0].sweep_dir).request_stop(tasks[0].sweep_attempt)
    trial.run_trial({"trials": [0, 1]}, tasks)
    assert reports == [{"state": "PENDING"}]
    assert not tasks[0].run_dir.exists()


PRINTS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from resnet_cluster.cluster.worker_output import output_in
both = Barrier(2)
def attempt(log):
    with output_in(log):
        both.wait(20)
        os.write(1, f"{log.parent.name} prints\\n".encode())
        both.wait(20)
with ThreadPoolExecutor(2) as threads:
    list(threads.map(attempt, map(Path, sys.argv[1:])))
print("afterwards", flush=True)
"""


def test_both_runs_have_what_their_process_prints(tmp_path: Path) -> None:
    logs = [tmp_path / name / "attempt-001-rank-000.log" for name in ("one", "two")]
    done = subprocess.run(
        [sys.executable, "-c", PRINTS, *map(str, logs)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert (done.returncode, done.stdout) == (0, "afterwards\n"), done.stderr
    for log in logs:
        assert sorted(log.read_text().splitlines()) == ["one prints", "two prints"]


def test_without_links_a_log_says_where_the_other_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(worker_output.os, "link", refuse)
    worker_output._share(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == f"printed into {tmp_path / 'one'}\n"
