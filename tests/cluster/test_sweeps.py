"""Whole sweeps on real Ray clusters: done, extended, killed, stopped, failed, gone on with."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sandbox import PROGRAM, Sandbox
from tiny_runs import EPOCHS, assert_same_weights, checkpoint_steps, events, tiny_job

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

ONE = {"resources.workers": 1}


def write(sandbox: Sandbox, changes: Mapping[str, Any] = ONE) -> Path:
    return sandbox.write_job(tiny_job(changes))


def status(sandbox: Sandbox, name: str = "tiny_sweep") -> dict[str, Any]:
    found: dict[str, Any] = sandbox.run("status", name, "-o", "json").json()
    return found


def states(sandbox: Sandbox) -> list[str | None]:
    return [trial["state"] for trial in status(sandbox)["trials"]]


def run_dirs(sandbox: Sandbox) -> list[Path]:
    return sorted(sandbox.runs.glob("r-*"))


def num_epochs(sandbox: Sandbox) -> int:
    """Epochs of all trials that are recorded."""
    return len(list(sandbox.runs.glob("r-*/events/epoch-*")))


def wait_for_epochs(sandbox: Sandbox, number: int) -> None:
    """Until so many are."""
    sandbox.wait_for(lambda: num_epochs(sandbox) >= number, timeout_s=120)


def test_a_sweep_is_done_then_reused_then_extended(sandbox: Sandbox, reference_alone: Path) -> None:
    job = write(sandbox)
    done = sandbox.run("ablate", job, "--depths", "8", "--shortcuts", "none,A", "--price", "2.5")
    assert done.code == 0, done.err
    assert_priced(sandbox, done.err)
    assert re.fullmatch(r"s-[0-9a-f]{8}\n", done.out)
    assert states(sandbox) == ["SUCCEEDED"] * 2
    assert not [line for line in done.err.splitlines() if "\x1b" in line or "╭" in line]
    assert "tiny_sweep-d8-a: test error, single view" in done.err
    first = run_dirs(sandbox)
    residual = next(run for run in first if events(run)["run"]["job"]["model"]["shortcut"] == "A")
    assert_same_weights(residual, reference_alone)

    again = sandbox.run("ablate", job, "--depths", "8", "--shortcuts", "none,A")
    assert (again.code, again.out) == (0, done.out)
    assert "2 trials, 0 to be run" in again.err

    more = sandbox.run("ablate", job, "--depths", "8,14", "--shortcuts", "none", "-o", "json")
    assert more.code == 0, more.err
    news = [json.loads(line) for line in more.out.splitlines()]
    assert {each["name"] for each in news if each["kind"] == "epoch"} == {"tiny_sweep-d14-none"}
    assert [each["epoch"] for each in news if each["kind"] == "epoch"] == [1, 2, 3]
    final = news[-1]
    assert (final["kind"], final["state"]) == ("sweep_status", "SUCCEEDED")
    assert [trial["state"] for trial in final["trials"]] == ["SUCCEEDED"] * 2
    assert len(run_dirs(sandbox)) == 3
    assert first == [run for run in run_dirs(sandbox) if run in first]

    assert_commands_are_priced(sandbox, job, residual)
    logs = sandbox.run("logs", "tiny_sweep", "--trial", "2")
    assert "SUCCEEDED" in logs.out
    rerun = sandbox.run("ablate", job, "--depths", "8", "--shortcuts", "A", "--rerun")
    assert rerun.code == 0, rerun.err
    assert len(run_dirs(sandbox)) == 4
    (second,) = set(run_dirs(sandbox)) - set(first) - {run_of(sandbox, "tiny_sweep-d14-none")}
    assert events(second)["run"]["name"] == "tiny_sweep-d8-a-2"
    assert_same_weights(second, reference_alone)


def assert_priced(sandbox: Sandbox, err: str) -> None:
    """Both networks were timed, at the same time; what was expected and what it took are kept."""
    assert "probes 1 to 2 of 2: tiny_sweep-d8-none, tiny_sweep-d8-a" in err
    assert not list(sandbox.runs.glob(".probe-*"))
    found = status(sandbox)
    (estimate,), (outcome,) = found["estimates"], found["outcomes"]
    assert estimate["cost"] == pytest.approx(2.5 * estimate["hours"])
    assert estimate["hours"] == pytest.approx(sum(t["hours"] for t in estimate["trials"]))
    assert (estimate["attempt"], estimate["at_once"], estimate["unit"]) == (1, 2, "worker-hours")
    assert outcome["hours"] == pytest.approx(sum(t["seconds"] for t in outcome["trials"]) / 3600)
    assert 0 < outcome["hours"] < 2 * outcome["seconds"] / 3600
    assert outcome["disk_bytes"] == pytest.approx(estimate["disk_bytes"], rel=0.25)
    assert outcome["is_whole"]
    assert [trial["expected_hours"] for trial in found["trials"]] == [
        trial["hours"] for trial in estimate["trials"]
    ]
    words = ("-X", "importtime", PROGRAM, "status", "tiny_sweep")
    shown = sandbox.start(*words, program=Path(sys.executable)).finish()
    imported = {line.rpartition("|")[2].strip() for line in shown.err.splitlines()}
    assert "resnet_cluster.results" in imported
    assert not {"torch", "ray"} & imported  # which would take two seconds
    assert "attempt 1, expected: about 0:00:" in shown.err
    assert "attempt 1, taken: 0:0" in shown.err
    assert "% of the hours expected" in shown.err


PRICED = """
import json, sys
from resnet_cluster.cli.fill import Fill
from resnet_cluster.cli.fill_prices import priced
from resnet_cluster.cluster.limits import Limits
found = priced([Fill((), command) for command in sys.argv[1:]], Limits(price_per_hour=2.0))
print(json.dumps([found[command].model_dump(mode="json") for command in sys.argv[1:]]))
"""


def assert_commands_are_priced(sandbox: Sandbox, job: Path, run: Path) -> None:
    """What `report --fill` lists: a training, and one measurement of a run that there is."""
    commands = [
        f"resnet-cluster submit {job} --set train.epochs=100 --name longer",
        f"resnet-cluster evaluate {run.name} --protocol flip",
    ]
    done = sandbox.start("-c", PRICED, *commands, program=Path(sys.executable)).finish()
    assert done.code == 0, done.err
    training, measuring = done.json()
    assert training["seconds"] > measuring["seconds"] > 0
    assert training["disk_bytes"] > measuring["disk_bytes"] > 0
    assert training["trials"][0]["name"] == "longer"
    assert len(run_dirs(sandbox)) == 3


def run_of(sandbox: Sandbox, name: str) -> Path:
    (found,) = (run for run in run_dirs(sandbox) if events(run)["run"]["name"] == name)
    return found


def test_a_killed_driver_is_gone_on_with_by_the_same_command(
    sandbox: Sandbox, reference_alone: Path
) -> None:
    """Of packs of two, each of whose runs goes on from checkpoints of its own."""
    combinations = ("--depths", "8", "--shortcuts", "A,none", "--seeds", "2", "--pack", "2")
    words = ("ablate", write(sandbox), *combinations)
    command = sandbox.start(*words)
    wait_for_epochs(sandbox, 3)
    os.killpg(command.process.pid, signal.SIGKILL)
    command.process.wait()
    before = {run.name: set(events(run)) for run in run_dirs(sandbox)}
    done = sandbox.run(*words)
    assert done.code == 0, done.err
    assert states(sandbox) == ["SUCCEEDED"] * 4
    assert len(run_dirs(sandbox)) == 4
    for run in run_dirs(sandbox):
        assert set(EPOCHS) <= set(events(run))
        if (run.name in before) and before[run.name] >= set(EPOCHS[:1]):
            assert len([name for name in events(run) if name.endswith("-started")]) <= 2
    assert_same_weights(run_of(sandbox, "tiny_sweep-d8-a-s0"), reference_alone)


def test_ctrl_c_leaves_checkpoints_and_the_same_command_goes_on(
    sandbox: Sandbox, reference_alone: Path
) -> None:
    words = ("ablate", write(sandbox), "--depths", "8", "--shortcuts", "A,none,B")
    command = sandbox.start(*words)
    wait_for_epochs(sandbox, 1)
    command.interrupt()
    stopped = command.finish(timeout_s=180)
    assert stopped.code == 130, stopped.err
    assert "running trials write a checkpoint" in stopped.err
    found = status(sandbox)
    assert found["state"] == "CANCELLED"
    assert set(states(sandbox)) <= {"CANCELLED", "SUCCEEDED", None}
    assert "CANCELLED" in states(sandbox)
    sandbox.wait_for_the_end()
    stop_at_budget(sandbox, words[1:])
    refused = sandbox.run(*words, "--max-gpu-hours", "0.0001")
    assert refused.code == 3, refused.err
    assert re.search(r"hours are used, and --max-gpu-hours allows 0.0001", refused.err)
    done = sandbox.run(*words)
    assert done.code == 0, done.err
    assert states(sandbox) == ["SUCCEEDED"] * 3
    assert_same_weights(run_of(sandbox, "tiny_sweep-d8-a"), reference_alone)


BUDGETED = """
import sys
from dataclasses import replace
from pathlib import Path
from resnet_cluster.cli.stores import opened_store
from resnet_cluster.cluster.detached_sweep import main
from resnet_cluster.cluster.limits import Limits
from resnet_cluster.cluster.metering import hours_used
from resnet_cluster.cluster.sweep_claim import claim_sweep
from resnet_cluster.cluster.sweep_launch import to_do
from resnet_cluster.cluster.sweep_order import SweepOptions, write_order
from resnet_cluster.cluster.sweep_plan import found_runs, plan_sweep
from resnet_cluster.home import runs_root
from resnet_cluster.spec import AblationRequest, load_ablation
job, depths, shortcuts = sys.argv[1:]
request = AblationRequest(depths=depths, shortcuts=shortcuts)
planned = plan_sweep(load_ablation(Path(job), request), skips_invalid=False)
with opened_store() as store:
    runs = found_runs(planned, store)
    wanted = {
        place: runs.get(trial.key)
        for place, trial in enumerate(planned.trials)
        if trial.key not in runs or not runs[trial.key].state.is_result
    }
    todo = to_do(planned.trials, wanted, store, runs_root(), is_rerun=False)
sweep = claim_sweep(planned, runs_root())
limit = hours_used(sweep.sweep_dir) + 1e-5
options = SweepOptions(limits=Limits(max_gpu_hours=limit))
write_order(sweep.sweep_dir, [each.order for each in todo], options)
main(sweep.sweep_dir)
"""


def stop_at_budget(sandbox: Sandbox, words: Sequence[str | Path]) -> None:
    """The sweep's driver as a cluster would run it, where the trials take more than was expected:
    a command would have refused so small a budget beforehand."""
    job, _, depths, _, shortcuts = words
    program = Path(sys.executable)
    done = sandbox.start("-c", BUDGETED, job, depths, shortcuts, program=program).finish()
    assert done.code == 0, done.err
    assert sandbox.run("wait", "tiny_sweep").code == 106
    found = status(sandbox)
    assert found["state"] == "CANCELLED"
    assert re.search(r"0 of \d trials done, .* worker-hours are used", found["message"])
    assert set(states(sandbox)) <= {"CANCELLED", "SUCCEEDED", None}
    assert found["outcomes"][-1]["hours"] >= 1e-5


def test_trials_of_several_workers_go_one_after_the_other(
    sandbox: Sandbox, reference: Path
) -> None:
    job = write(sandbox, {})
    command = sandbox.start("ablate", job, "--depths", "8", "--shortcuts", "A,none")
    sandbox.wait_for(lambda: len([run for run in run_dirs(sandbox) if checkpoint_steps(run)]) == 2)
    assert sandbox.run("stop", "tiny_sweep").code == 0
    assert command.finish().code == 103
    assert states(sandbox)[0] == "SUCCEEDED"
    resumed = sandbox.run("ablate", job, "--depths", "8", "--shortcuts", "A,none")
    assert resumed.code == 0, resumed.err
    assert states(sandbox) == ["SUCCEEDED"] * 2
    assert_same_weights(run_of(sandbox, "tiny_sweep-d8-a"), reference)


def wait_for_an_epoch(sandbox: Sandbox, name: str, *, attempt: int) -> int:
    """Until an attempt at a trial has recorded one; returns the process that trains it."""

    def is_there() -> bool:
        found = [events(run) for run in run_dirs(sandbox)]
        (own,) = [run for run in found if run.get("run", {}).get("name") == name] or [{}]
        epochs = [own[each] for each in own if each.startswith("epoch-")]
        return any(epoch["attempt"] == attempt for epoch in epochs)

    sandbox.wait_for(is_there)
    started = events(run_of(sandbox, name))[f"attempt-{attempt:03d}-started"]
    return int(started["owner"].rpartition(":")[2])


def test_a_trial_that_fails_is_tried_again_and_the_others_go_on(
    sandbox: Sandbox, digits: Path, tmp_path: Path
) -> None:
    shutil.copytree(digits, tmp_path / "data")
    sandbox.environment["RESNET_CLUSTER_DATA"] = str(tmp_path / "data")
    lists = ("--vary", "train.lr=0.05,1e6", "--depths", "8")
    done = sandbox.run("ablate", write(sandbox), *lists)
    assert done.code == 0, done.err  # a diverged trial is a result
    assert states(sandbox) == ["SUCCEEDED", "DIVERGED"]
    again = sandbox.run("ablate", write(sandbox), *lists)
    assert "2 trials, 0 to be run" in again.err
    # The second lasts, so that the third begins after the first, and finds no data.
    words = ("ablate", write(sandbox), "--vary", "train.epochs=4,20,5", "--name", "broken")
    command = sandbox.start(*words)
    os.kill(wait_for_an_epoch(sandbox, "broken-epochs4", attempt=1), signal.SIGKILL)
    wait_for_an_epoch(sandbox, "broken-epochs4", attempt=2)
    (tmp_path / "data" / "digits" / "train.beton").rename(tmp_path / "away.beton")
    failed = command.finish()
    assert failed.code == 100, failed.err
    found = status(sandbox, "broken")
    assert [trial["state"] for trial in found["trials"]] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert found["message"] == "2 of 3 trials done, 1 failed"
    third = events(run_of(sandbox, "broken-epochs5"))
    assert {"attempt-001-ended", "attempt-002-ended"} <= set(third)
    killed = events(run_of(sandbox, "broken-epochs4"))
    assert killed["attempt-001-ended"]["state"] == "LOST"
    assert killed["attempt-002-training"]["first_step"] > 0
    assert killed["attempt-002-ended"]["state"] == "SUCCEEDED"


def test_asha_stops_trials_early_and_they_fill_no_cell(sandbox: Sandbox) -> None:
    rates = "0.05,0.04,1e-7,2e-7"
    words = ("ablate", write(sandbox), "--vary", f"train.lr={rates}", "--scheduler", "asha")
    done = sandbox.run(*words)
    assert done.code == 0, done.err
    rule = "asha: after epochs 1 a trial goes on if its training error is among the best 1 in 3"
    assert rule in done.err
    found = status(sandbox)
    by_state = {trial["name"]: trial["state"] for trial in found["trials"]}
    stopped = [name for name, state in by_state.items() if state == "CANCELLED"]
    assert stopped  # which ones depends on who comes first, but for those that learn nothing
    assert f"{len(stopped)} stopped early" in found["message"]
    for name in stopped:
        run = events(run_of(sandbox, name))
        assert run["attempt-001-ended"]["message"].startswith("stopped by asha after epoch 1")
        assert not [event for event in run if event.startswith("evaluation")]
    whole = [trial for trial in found["trials"] if trial["state"] == "SUCCEEDED"]
    assert all(trial["top1_err"] is not None for trial in whole)
    again = sandbox.run(*words)
    assert (again.code, "4 trials, 0 to be run" in again.err) == (0, True), again.err
    rest = sandbox.run("ablate", write(sandbox), "--vary", f"train.lr={rates}", "--dry-run")
    assert f"4 trials, {len(stopped)} to be run" in rest.err


def test_seeds_are_spent_until_a_pair_is_settled(sandbox: Sandbox) -> None:
    """One rate learns and one does not, which takes few seeds to see."""
    words = ("ablate", write(sandbox), "--vary", "train.lr=0.05,1e-7", "--seeds", "5")
    done = sandbox.run(*words, "--until-significant")
    assert done.code == 0, done.err
    found = status(sandbox)
    pairs = found["pairs"]
    (settled,) = pairs["settled"]
    assert (settled["better"], pairs["open"]) == ("tiny_sweep-lr0_05", [])
    seeds = settled["num_seeds"]
    assert seeds in (2, 3)
    assert states(sandbox) == (["SUCCEEDED"] * seeds + [None] * (5 - seeds)) * 2
    assert found["message"] == f"{2 * seeds} of 10 trials done, {10 - 2 * seeds} not needed"
    assert "is better than tiny_sweep-lr1e_07 by" in done.err
    again = sandbox.run(*words, "--until-significant")
    assert (again.code, "10 trials, 0 to be run" in again.err) == (0, True), again.err
    rest = sandbox.run(*words, "--dry-run")
    assert f"10 trials, {10 - 2 * seeds} to be run" in rest.err


def test_two_sweeps_train_what_they_share_once(sandbox: Sandbox, reference_alone: Path) -> None:
    job = write(sandbox)
    commands = [
        sandbox.start("ablate", job, "--shortcuts", lists, "--depths", "8", "--name", name)
        for name, lists in (("one", "A,none"), ("other", "none,A,B"))
    ]
    for command in commands:
        done = command.finish()
        assert done.code == 0, done.err
    keys = [events(run)["run"]["key"] for run in run_dirs(sandbox)]
    assert len(keys) == len(set(keys)) == 3
    for name, number in (("one", 2), ("other", 3)):
        found = status(sandbox, name)
        assert found["state"] == "SUCCEEDED", found
        assert [trial["state"] for trial in found["trials"]] == ["SUCCEEDED"] * number
    residual = next(
        run for run in run_dirs(sandbox) if events(run)["run"]["job"]["model"]["shortcut"] == "A"
    )
    assert_same_weights(residual, reference_alone)
