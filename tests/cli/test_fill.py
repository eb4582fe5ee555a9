"""`report --fill`: each command is a plan whose figure fills the cell, and is run once."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from cli_calls import Call, assert_refused
from factories import CIFAR10, IMAGENET, make_evaluation, make_run_record, make_summary

from resnet_cluster.cli import fill
from resnet_cluster.cli.fill_prices import priced
from resnet_cluster.cluster import capacity
from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.limits import Limits
from resnet_cluster.errors import PreflightError, RunFailedError
from resnet_cluster.report import build_report
from resnet_cluster.report.published import PUBLISHED
from resnet_cluster.results import DatasetFacts
from resnet_cluster.spec import JobSpec

REPOSITORY = Path(__file__).parents[2]
IDENTITIES = {
    "single": "single",
    "10-crop": "ten-crop-224of256-softmax",
    "multi-scale": "multi-scale-224-256-384-480-640-softmax",
}


@pytest.mark.parametrize(
    ("number", "facts"), [(2, IMAGENET), (3, IMAGENET), (4, IMAGENET), (6, CIFAR10)]
)
def test_each_command_plans_a_run_whose_figure_fills_the_cell(
    number: int,
    facts: DatasetFacts,
    papers_data: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("RESNET_CLUSTER_DATA", str(papers_data))
    (table,) = build_report([], table=number, prepared=[facts]).tables
    empty = [row for row in table.rows if row.command]
    ours = [row for row in PUBLISHED[number] if row.depth or row.arch == "vgg16"]
    assert [row.published for row in empty] == ours
    for row in empty:
        assert row.published is not None
        words = shlex.split(row.command)
        assert words[0] == "resnet-cluster"
        planned = call(*words[1:], "--dry-run", "-o", "json")
        assert planned.code == 0, planned.err
        job = JobSpec.model_validate(planned.json()["job"], strict=False)
        record = make_run_record(job, dataset=facts)
        figure = make_evaluation(record, 9.0, protocol=IDENTITIES[row.published.protocol])
        run = make_summary(record)
        object.__setattr__(run, "evaluations", (figure,))
        (filled,) = build_report([run], table=number, prepared=[facts]).tables
        (same,) = [each for each in filled.rows if each.published is row.published]
        if row.published.arch:  # its authors' figure: ours stands beneath
            same = filled.rows[filled.rows.index(same) + 1]
            assert same.is_beneath
        assert same.cell is not None
        assert same.cell.figures[0].run is run
        assert same.command == ""


def test_the_commands_are_listed_each_once(call: Call) -> None:
    listed = call("report", "--fill", "--table", "6")
    assert listed.code == 0
    first, *rest = listed.out.splitlines()
    assert first == "resnet-cluster data prepare cifar10 --as cifar10"
    assert len(rest) == 6
    for line in rest:
        assert line.startswith("resnet-cluster submit jobs/cifar10_")
    assert "# Table 6, ResNet-1202" in listed.err
    content = json.loads(call("report", "--fill", "--table", "3", "-o", "json").out)
    assert [each["cells"] for each in content][:3] == [
        [],  # the data
        ["Table 3, VGG-16"],
        ["Table 3, plain-34"],
    ]


def test_what_cannot_be_planned_here_has_no_price(call: Call) -> None:
    listed = call("report", "--fill", "--table", "6", "--price", "2")
    assert listed.code == 0
    assert len(listed.out.splitlines()) == 7
    for number, job in ((4, "cifar10_r20"), (2, "cifar10_r110")):
        assert f"{number} commands cannot be estimated: jobs/{job}.yaml" in listed.err
    assert "no data set named 'cifar10' is prepared" in listed.err
    assert "cost" not in listed.err


def test_what_this_machine_cannot_hold_has_no_price(
    papers_data: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("RESNET_CLUSTER_DATA", str(papers_data))
    small = Cluster(address=None, num_cpus=2, num_gpus=0, num_nodes=1)
    monkeypatch.setattr(capacity, "own_machine", lambda: small)
    command = "resnet-cluster submit jobs/imagenet_r50_paper.yaml --set model.depth=34"
    assert priced([fill.Fill((), command)], Limits(is_wanted=True)) == {}
    told = capsys.readouterr().err
    assert "1 command cannot be estimated: " in told
    assert "8 workers need 8 GPUs, and this machine has 0" in told


def test_what_cannot_be_meant_is_refused(call: Call) -> None:
    assert_refused(call("report", "--yes"), 2, "without --fill")
    assert_refused(call("report", "--fill", "--format", "md"), 2, "neither --format nor --out")
    assert_refused(call("report", "--estimate"), 2, "add --fill")
    assert_refused(call("report", "--price", "2"), 2, "add --fill")
    assert_refused(call("report", "--fill", "--price", "0"), 2, "--price 0 is not above 0")
    assert_refused(call("report", "--fill", "--yes"), 3, "data prepare cifar10 --as cifar10")


def test_a_command_that_fails_does_not_keep_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    report = build_report([], table=6, prepared=[CIFAR10])
    wanted = fill.fills(report)
    called: list[list[str]] = []

    def call_it(words: list[str]) -> int:
        called.append(words)
        return 3 if "jobs/cifar10_r110.yaml" in words else 0

    with pytest.raises(RunFailedError, match="2 of 6 commands failed") as failed:
        fill.run(report, wanted, call_it)
    assert called == [shlex.split(each.command)[1:] for each in wanted]
    assert "cifar10_r110.yaml (3)" in failed.value.message
    assert "6 of 6: " in capsys.readouterr().err


def test_a_command_is_run_in_a_process_of_its_own(home: Path, capfd: Any) -> None:
    report = build_report([], table=6, prepared=[CIFAR10])
    wanted = (fill.Fill(("nothing",), "resnet-cluster --version"),)
    fill.run(report, wanted)
    assert capfd.readouterr().out.startswith("resnet-cluster ")
    with pytest.raises(RunFailedError, match=r"status nobody \(102\)"):
        fill.run(report, (fill.Fill(("nothing",), "resnet-cluster status nobody"),))
    with pytest.raises(PreflightError):
        fill.run(build_report([], table=6), wanted)
