"""`report --claims`: verdicts from a real store of events, and what cannot be meant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from cli_calls import Call, assert_refused
from factories import CIFAR10, IMAGENET, make_epoch, make_job, make_run_record, record_run

from resnet_cluster.report import build_claims
from resnet_cluster.results import LayerNorms, LayerStd, NormsRecord, ResponsesRecord, ResultStore
from resnet_cluster.spec import JobSpec

REPOSITORY = Path(__file__).parents[2]
NUM_STEPS = 64_000


def record(home: Path, depth: int, shortcut: str, seed: int, train_err: float, std: float) -> str:
    """The events of a whole training of CIFAR's."""
    job = make_job(
        {
            "name": f"{shortcut.lower()}{depth}-{seed}",
            "seed": seed,
            "model.depth": depth,
            "model.shortcut": shortcut,
        }
    )
    run_id = f"r-{depth:03d}{shortcut[0].lower()}{seed}"
    run = make_run_record(job, dataset=CIFAR10, run_id=run_id)
    log = record_run(home / "runs", run, top1_err=train_err + 3, num_epochs=0)
    last = make_epoch(2)
    train = last.train.model_copy(update={"top1_err": train_err})
    for epoch, step in ((1, NUM_STEPS // 2), (2, NUM_STEPS)):
        changes: dict[str, Any] = {"epoch": epoch, "step": step, "train": train}
        log.record(last.model_copy(update=changes))
    log.record(
        ResponsesRecord(split="test", num_images=100, layers=(LayerStd(name="conv1", std=std),))
    )
    layers = (LayerNorms(name="conv1", forward=1, gradient=1),)
    log.record(NormsRecord(epoch=1, step=0, layers=layers))
    return run_id


@pytest.fixture
def reversed_store(home: Path) -> list[str]:
    """Plain nets that do not degrade, and respond less than residual ones."""
    return [
        record(home, depth, shortcut, seed, base + seed / 50, std + seed / 1000)
        for depth, shortcut, base, std in (
            (20, "none", 12.0, 0.5),
            (56, "none", 8.0, 0.4),
            (20, "A", 9.0, 1.0),
            (56, "A", 7.0, 0.9),
        )
        for seed in range(3)
    ]


def test_claims_that_fail_are_told_to_automation(call: Call, reversed_store: list[str]) -> None:
    judged = call("report", "--claims", "--check", "-o", "json")
    assert judged.code == 6
    verdicts = {each["claim"]: each["verdict"] for each in json.loads(judged.out)}
    assert [number for number, verdict in verdicts.items() if verdict == "fails"] == [1, 8]
    assert "of the paper's claims 1, 8 fail" in judged.err
    (norms,) = [each for each in json.loads(judged.out) if each["claim"] == 9]
    assert norms["parts"][2]["verdict"] == "holds"
    assert norms["parts"][2]["run_ids"] == reversed_store[3:6]


def test_claims_without_the_check_are_told_and_no_more(
    call: Call, reversed_store: list[str], tmp_path: Path
) -> None:
    assert call("report", "--claims").code == 0
    page = tmp_path / "claims.html"
    written = call("report", "--claims", "--check", "--format", "html", "--out", page)
    assert written.code == 6
    assert f'<details id="{reversed_store[0]}">' in page.read_text()


def test_nothing_fails_in_an_empty_store(call: Call) -> None:
    judged = call("report", "--claims", "--check", "--format", "csv")
    assert judged.code == 0
    assert judged.out.splitlines()[0].startswith("claim,verdict,part,published,effect,low,high")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--check"], "without --claims"),
        (["--claims", "--table", "6"], "neither --table nor --fill"),
        (["--claims", "--fill"], "neither --table nor --fill"),
        (["--claims", "--figure", "1", "--out", "x.svg"], "nor --claims"),
    ],
)
def test_what_cannot_be_meant_of_claims_is_refused(call: Call, words: list[str], says: str) -> None:
    assert_refused(call("report", *words), 2, says)


def test_the_commands_are_plans(
    papers_data: Path, call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of each network: their other seeds differ in nothing else."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("RESNET_CLUSTER_DATA", str(papers_data))
    with ResultStore.open(f"sqlite:///{home}/store.db", runs_root=home / "runs") as store:
        plan = build_claims([], store, prepared=[CIFAR10, IMAGENET]).plan
    commands = {each.net.name: each.commands[0] for each in plan.needed}
    assert len(commands) == 19
    for model, command in commands.items():
        planned = call(*shlex.split(command)[1:], "--dry-run", "-o", "json")
        assert planned.code == 0, planned.err
        job = JobSpec.model_validate(planned.json()["job"], strict=False)
        assert str(job.model.depth) in model
        assert model.startswith("plain") == (job.model.shortcut == "none")
