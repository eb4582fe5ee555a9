"""`ablate` before anything starts: the plan, what is refused, what is reused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_calls import Call, assert_refused
from factories import DIGITS, record_run
from prepared import prepare_few_digits
from tiny_runs import tiny_job

from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    EventLog,
    RunRecord,
    RunState,
    SweepPlanRecord,
    SweepRecord,
    SweepTrial,
    own_identity,
)
from resnet_cluster.spec import TRAINING_SEMANTICS


@pytest.fixture
def job(tmp_path: Path, data_root: Path) -> Path:
    """A job that could run."""
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(tiny_job({"resources.workers": 1})))
    return path


def test_the_packaged_ablation_is_named_and_all_that_it_lacks(call: Call) -> None:
    planned = call("ablate", "--depths", "18,34,50", "--dry-run")
    assert planned.code == 0
    assert "ablations/imagenet_depth.yaml" in planned.err
    names = [line.split()[1] for line in planned.out.splitlines()[1:]]
    assert names == [f"imagenet_depth-d{depth}" for depth in (18, 34, 50)]
    assert "no data set named 'imagenet' is prepared" in planned.err
    refused = call("ablate", "--depths", "18,34,50")
    assert (refused.code, refused.out) == (3, "")
    for lacks in ("2 things stand in the way", "'imagenet'", "data prepare", "8 workers need"):
        assert lacks in refused.err


def test_a_dry_run_has_every_key_and_leaves_nothing(job: Path, call: Call, home: Path) -> None:
    planned = call(
        "ablate", job, "--depths", "8,14", "--seeds", "2", "--dry-run", "-o", "json"
    ).json()
    assert planned["name"] == "tiny_sweep"
    trials = planned["trials"]
    assert [trial["point"] for trial in trials] == [{"model.depth": d} for d in (8, 8, 14, 14)]
    assert [trial["seed"] for trial in trials] == [7, 8, 7, 8]
    assert {trial["state"] for trial in trials} == {None}
    for trial in trials:
        depth = f"model.depth={trial['point']['model.depth']}"
        single = call("submit", job, "--set", depth, "--seed", str(trial["seed"]), "--dry-run")
        assert trial["key"] in single.out
    assert len({trial["key"] for trial in trials}) == 4
    assert not home.exists()


def test_what_is_in_the_store_is_known_by_its_content(job: Path, call: Call, home: Path) -> None:
    plan = call("submit", job, "--set", "model.depth=14", "--dry-run", "-o", "json").json()
    log = EventLog(home / "runs" / "r-00000001")
    log.record(_run(plan, "other-name"))
    log.record(AttemptStarted(attempt=1, owner="laptop:1"))
    log.record(AttemptEnded(attempt=1, state=RunState.SUCCEEDED))
    shown = call("ablate", job, "--depths", "8,14", "--dry-run")
    assert "2 trials, 1 to be run" in shown.err
    lines = [line.split()[1:3] for line in shown.out.splitlines()[1:]]
    assert lines == [["tiny_sweep-d8", "NEW"], ["other-name", "SUCCEEDED"]]


def _run(plan: dict[str, Any], name: str) -> RunRecord:
    return RunRecord(
        run_id="r-00000001",
        name=name,
        key=plan["key"],
        job=plan["job"] | {"name": name},
        dataset=DIGITS,
        num_parameters=1,
        flops=1,
        num_steps=9,
        steps_per_epoch=3,
        command="resnet-cluster submit job.yaml",
        git_commit=None,
        versions={},
    )


def test_invalid_combinations_are_all_told_or_left_out(job: Path, call: Call) -> None:
    words = ("ablate", job, "--depths", "8,9,10", "--shortcuts", "none,A")
    told = [f"depth {d}, shortcut {s}" for d in (9, 10) for s in ("none", "A")]
    assert_refused(call(*words), 2, "4 combinations make no job", *told, "--skip-invalid")
    planned = call(*words, "--skip-invalid", "--dry-run")
    assert planned.code == 0
    assert len(planned.out.splitlines()) == 1 + 2
    assert all(f"left out: {line}" in planned.err for line in told)
    none_left = call("ablate", job, "--depths", "9", "--skip-invalid")
    assert_refused(none_left, 2, "1 combination makes no job", "none is left")
    too_large = ("--vary", "train.global_batch_size=64,4096", "--vary", "train.lr=0.1")
    assert_refused(call("ablate", job, *too_large), 2, "global_batch_size 4096", "1 combination")


@pytest.mark.parametrize(
    ("option", "value"), [("--price", "0"), ("--max-gpu-hours", "-1"), ("--max-disk", "nan")]
)
def test_a_price_or_a_limit_of_nothing_is_refused(
    option: str, value: str, job: Path, call: Call, home: Path
) -> None:
    refused = call("ablate", job, "--depths", "8", option, value)
    assert_refused(refused, 2, f"{option} {value} is not above 0")
    assert not home.exists()


def test_runs_that_need_more_disk_than_they_may_have(job: Path, call: Call, home: Path) -> None:
    words = ("ablate", job, "--depths", "8,14", "--max-disk", "0.002")
    planned = call(*words, "--dry-run")
    assert planned.code == 0
    assert "would be refused: the runs would hold about" in planned.err
    refused = call(*words)
    assert (refused.code, refused.out) == (3, "")
    assert "--max-disk allows 0.002" in refused.err
    assert not list((home / "runs").glob("[rs]-*"))
    enough = call("ablate", job, "--depths", "8,14", "--max-disk", "1", "--dry-run", "-o", "json")
    assert (enough.json()["failures"], enough.json()["estimate"]) == ([], None)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--depths", "8,14"), "needs several seeds of each"),
        (("--seeds", "3"), "two combinations or more"),
        (("--depths", "8,14", "--seeds", "3", "--scheduler", "asha"), "--scheduler stops"),
        (
            ("--depths", "8,14", "--seeds", "3", "--set", "evaluate.protocols=[flip]"),
            "is not measured under single",
        ),
    ],
)
def test_a_rule_wants_whole_seeds_of_several(
    words: tuple[str, ...], why: str, job: Path, call: Call, home: Path
) -> None:
    assert_refused(call("ablate", job, "--until-significant", *words), 2, why)
    assert not home.exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--depths", "8,14"), "there is one of each"),
        (("--depths", "8,14", "--seeds", "2", "--scheduler", "asha"), "--scheduler asha decides"),
        (("--depths", "8,14", "--seeds", "2", "--workers", "2"), "has 2 workers"),
    ],
)
def test_a_pack_is_of_several_whole_seeds_of_one_worker(
    words: tuple[str, ...], why: str, job: Path, call: Call, home: Path
) -> None:
    assert_refused(call("ablate", job, "--pack", "2", "--dry-run", *words), 2, why)
    assert not home.exists()


def test_many_trials_want_a_yes(job: Path, call: Call) -> None:
    lists = ",".join(map(str, range(1, 101)))
    words = ("--vary", f"train.lr={lists}", "--vary", f"train.weight_decay={lists}")
    refused = call("ablate", job, *words, "--seeds", "100", "--dry-run")
    assert_refused(refused, 2, "these are 1,000,000 trials", "--yes")


Plan = dict[str, Any]
"""What `submit --dry-run` says of the job."""


def _sweep(home: Path, plan: Plan, **changes: object) -> EventLog:
    fields = {
        "sweep_id": "s-00000001",
        "name": "tiny_sweep",
        "job": plan["job"],
        "dataset_name": "digits",
        "dataset_sha256": plan["dataset_sha256"],
        "training_semantics": TRAINING_SEMANTICS,
        "command": "resnet-cluster ablate",
    }
    log = EventLog(home / "runs" / "s-00000001")
    log.record(SweepRecord.model_validate(fields | changes))
    trial = SweepTrial(name="tiny_sweep-d8", key="k", point={"model.depth": 8}, seed=7)
    log.record(SweepPlanRecord(number=1, axes={"model.depth": [8]}, trials=(trial,), command="c"))
    return log


@pytest.fixture
def planned(job: Path, call: Call) -> Plan:
    """That of the job."""
    plan: Plan = call("submit", job, "--dry-run", "-o", "json").json()
    return plan


def test_a_name_belongs_to_one_sweep(job: Path, call: Call, home: Path, planned: Plan) -> None:
    log = _sweep(home, planned)
    words = ("ablate", job, "--depths", "8,14", "--dry-run")
    assert call(*words).code == 0
    other = call(*words, "--set", "train.lr=0.3")
    assert_refused(other, 2, "belongs to s-00000001", "train.lr was 0.05 and is 0.3", "--name")
    assert call(*words, "--set", "train.lr=0.3", "--name", "another").code == 0
    assert call(*words, "--seed", "3", "--workers", "1").code == 0
    log.record(AttemptStarted(attempt=1, owner="laptop:1", identity=own_identity()))
    assert call(*words).code == 0  # a plan may be made of what runs
    assert_refused(call(*words[:-1]), 2, "tiny_sweep (s-00000001) is running already", "wait")


def test_ids_and_names_mean_one_thing(job: Path, call: Call, home: Path, planned: Plan) -> None:
    _sweep(home, planned)
    words = ("ablate", job, "--depths", "8,14")
    for name in ("s-00000001", "r-0123abcd"):
        assert_refused(call(*words, "--name", name), 2, "looks like an id", "another --name")
    refused = call("submit", job, "--name", "tiny_sweep", "--workers", "1")
    assert_refused(refused, 2, "belongs to the sweep s-00000001", "another with --name")
    record_run(home / "runs", _run(planned, "single"))
    refused = call(*words, "--name", "single")
    assert_refused(refused, 2, "belongs to the run r-00000001", "another with --name")
    for verb in ("resume", "evaluate", "export"):
        more = {"evaluate": ["--protocol", "flip"], "export": ["--to", "safetensors"]}
        refused = call(verb, "tiny_sweep", *more.get(verb, []))
        assert_refused(refused, 2, "tiny_sweep is a sweep, and no run", "status tiny_sweep")


def test_a_sweep_that_cannot_be_read_says_so(
    job: Path, call: Call, home: Path, planned: Plan
) -> None:
    log = _sweep(home, planned)
    (log.folder / "plan-001.json").write_text("{")
    for words in (
        ("status", "tiny_sweep"),
        ("status", "s-00000001"),
        ("ablate", job, "--depths", "8,14", "--dry-run"),
    ):
        assert_refused(call(*words), 5, "plan-001.json", "not an event of this tool")
    (log.folder / "sweep.json").write_text("{")
    assert_refused(call("status", "s-00000001"), 5, "sweep.json")


def test_what_changes_no_result_is_no_trial_of_its_own(job: Path, call: Call) -> None:
    planned = call("ablate", job, "--vary", "resources.workers=1,2", "--dry-run", "-o", "json")
    assert [trial["name"] for trial in planned.json()["trials"]] == ["tiny_sweep-workers1"]
    assert "left out: tiny_sweep-workers2 is the same experiment as another" in planned.err


def test_a_sweep_of_what_is_done_has_ended(job: Path, call: Call, home: Path) -> None:
    for number, depth in enumerate((8, 14)):
        words = ("submit", job, "--set", f"model.depth={depth}", "--dry-run", "-o", "json")
        run = _run(call(*words).json(), f"run-{depth}").model_copy(
            update={"run_id": f"r-0000000{number}"}
        )
        record_run(home / "runs", run, top1_err=9.0)
    done = call("ablate", job, "--depths", "8,14")
    assert done.code == 0, done.err
    assert "2 trials, 0 to be run" in done.err
    assert call("wait", "tiny_sweep", "--timeout", "0").code == 0
    assert "of 2 trials none was left to be run" in call("status", "tiny_sweep").out
    assert call("ablate", job, "--depths", "8,14").out == done.out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dataset_sha256": "ab" * 32}, "the data set digits was abababababab and is"),
        ({"training_semantics": 0}, "that of version 0 of the training"),
    ],
)
def test_a_sweep_whose_world_has_moved_says_so(
    changes: dict[str, object], says: str, job: Path, call: Call, home: Path, planned: Plan
) -> None:
    _sweep(home, planned, **changes)
    assert_refused(
        call("ablate", job, "--depths", "8", "--vary", "train.lr=0.1"), 3, says, "--name"
    )


def test_the_verbs_on_runs_take_a_sweep(job: Path, call: Call, home: Path, planned: Plan) -> None:
    log = _sweep(home, planned)
    for reference in ("tiny_sweep", "s-00000001", "s-0000"):
        status = call("status", reference, "-o", "json").json()
        assert (status["sweep_id"], status["state"]) == ("s-00000001", "PENDING")
        assert [trial["name"] for trial in status["trials"]] == ["tiny_sweep-d8"]
    assert_refused(call("logs", "tiny_sweep"), 2, "is a sweep of 1 trial", "--trial K")
    unknown = call("logs", "tiny_sweep", "--trial", "2")
    assert_refused(unknown, 102, "has no trial '2'", "from 1 to 1")
    assert_refused(call("logs", "tiny_sweep", "--trial", "1"), 102, "has not begun")
    assert "does not run: PENDING" in call("stop", "tiny_sweep").err
    log.record(AttemptStarted(attempt=1, owner="laptop:1", identity=own_identity()))
    assert_refused(call("rm", "tiny_sweep", "--yes"), 2, "is running", "stop it first")
    assert_refused(call("wait", "tiny_sweep", "--timeout", "0"), 124, "s-00000001 had not ended")
    log.record(AttemptEnded(attempt=1, state=RunState.FAILED, message="0 of 1 trials done"))
    assert call("wait", "tiny_sweep").code == 100
    assert call("status", "tiny_sweep").code == 0
    assert call("rm", "tiny_sweep", "--yes").code == 0
    assert not log.run_dir.exists()
    assert_refused(call("status", "tiny_sweep"), 102, "tiny_sweep")


def test_sweeps_are_no_runs_of_the_store(call: Call, home: Path, planned: Plan) -> None:
    _sweep(home, planned)
    record_run(home / "runs", _run(planned, "single"))
    listed = call("list", "-o", "json")
    assert (listed.err, [run["name"] for run in listed.json()]) == ("", ["single"])
    (sweep,) = call("list", "--sweeps", "-o", "json").json()
    assert (sweep["sweep_id"], sweep["num_trials"], sweep["state"]) == ("s-00000001", 1, "PENDING")
    assert call("list", "--sweeps").out.splitlines()[1].split()[:3] == [
        "s-00000001",
        "tiny_sweep",
        "PENDING",
    ]
    _sweep(home, planned).run_dir.rename(home / "away")
    assert "no sweeps yet" in call("list", "--sweeps").err


def test_sharing_a_gpu_wants_one_and_single_workers(tmp_path: Path, call: Call) -> None:
    prepare_few_digits(tmp_path, num_train=200, num_test=40)
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps(tiny_job({"resources.workers": 1})))
    words = ("ablate", job, "--depths", "8", "--vary", "train.lr=0.1", "--trials-per-gpu", "2")
    data = ("--data", tmp_path / "data" / "digits")
    refused = call(*words, *data)
    assert (refused.code, refused.out) == (3, "")
    assert "--trials-per-gpu 2 shares GPUs, and this machine has none" in refused.err
    refused = call(*words, *data, "--workers", "2")
    assert (refused.code, refused.out) == (2, "")
    assert "shares a GPU among trials of one worker" in refused.err
    assert not list(tmp_path.rglob("s-*"))
    planned = call(*words, *data, "--dry-run")
    assert planned.code == 0
    assert planned.err.count("would be refused: --trials-per-gpu 2 shares GPUs") == 1
    refused = call(*words, *data, "--dry-run", "--detach")
    assert refused.code == 2
    assert "there is nothing to detach from" in refused.err
