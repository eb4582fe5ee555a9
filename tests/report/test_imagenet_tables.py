"""Tables 2 to 5: ImageNet's figures in their cells, and what is kept out of them."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from factories import CIFAR10, IMAGENET, make_errors, make_evaluation, make_run_record
from rich.console import Console

from resnet_cluster.report import Format, build_report, differences, render
from resnet_cluster.report.published import PUBLISHED, Published
from resnet_cluster.report.rows import Row, Table
from resnet_cluster.report.wording import ours_text, published_text
from resnet_cluster.results import (
    ArtefactRecord,
    Attempt,
    DatasetFacts,
    EnsembleRecord,
    RunState,
    RunSummary,
)
from resnet_cluster.spec import JobSpec, load_job, shipped_jobs

TEN = "ten-crop-224of256-softmax"
MANY = "multi-scale-224-256-384-480-640-softmax"
IDENTITIES = {"10-crop": TEN, "multi-scale": MANY}
NETS = [(number, row) for number in (2, 3, 4) for row in PUBLISHED[number] if row.depth]
NUMBERS = count()


def shipped(name: str, *overrides: str, run_name: str | None = None) -> JobSpec:
    (path,) = [path for path in shipped_jobs() if path.stem == name]
    return load_job(path, overrides=overrides, name=run_name).spec


def make_imagenet_run(
    job: JobSpec, figures: Mapping[str, float], *, dataset: DatasetFacts = IMAGENET
) -> RunSummary:
    """A finished run with these figures, by protocol."""
    number = next(NUMBERS)
    record = make_run_record(job, dataset=dataset, run_id=f"r-{number:04d}", minute=number)
    weights = ArtefactRecord(name="weights", path="weights.pt", sha256="0" * 64, num_bytes=1)
    return RunSummary(
        record=record,
        job=job,
        run_dir=Path("/runs") / record.run_id,
        attempts=(Attempt(number=1, started_at=record.at, state=RunState.SUCCEEDED),),
        evaluations=tuple(
            make_evaluation(record, error, protocol=protocol) for protocol, error in figures.items()
        ),
        artefacts=(weights,),
    )


def table_of(number: int, runs: Sequence[RunSummary], **more: Any) -> Table:
    (table,) = build_report(runs, table=number, **more).tables
    return table


def paper_row(table: Table, published: Published) -> Row:
    (row,) = [row for row in table.rows if row.published is published]
    return row


@pytest.mark.parametrize(
    ("number", "published"), NETS, ids=[f"{number} {row.model}" for number, row in NETS]
)
def test_the_command_of_an_empty_cell_fills_it(number: int, published: Published) -> None:
    words = shlex.split(paper_row(table_of(number, []), published).command)
    assert words[:3] == ["resnet-cluster", "submit", "jobs/imagenet_r50_paper.yaml"]
    options = [(words[at], words[at + 1]) for at in range(3, len(words), 2)]
    assert {option for option, _ in options} <= {"--set", "--name"}
    overrides = [value for option, value in options if option == "--set"]
    job = shipped("imagenet_r50_paper", *overrides, run_name=dict(options).get("--name"))
    assert (job.model.depth, job.model.shortcut) == (published.depth, published.shortcut)

    run = make_imagenet_run(job, {"single": 30.0, TEN: 25.0, MANY: 22.0})
    table = table_of(number, [run])
    row = paper_row(table, published)
    assert row.command == ""
    assert row.cell is not None
    (figure,) = row.cell.figures
    assert figure.evaluation is not None
    assert figure.evaluation.protocol == IDENTITIES[published.protocol]
    assert published.top1_err is not None
    assert row.cell.difference == pytest.approx(figure.top1_err - published.top1_err)
    # Neither the single view nor the other table's protocol stands here too.
    assert len(table.figures) == 1


def test_names_of_the_runs_differ_from_net_to_net() -> None:
    commands = {
        (row.depth, row.shortcut): table_row.command
        for number in (2, 3, 4)
        for table_row in table_of(number, []).rows
        if (row := table_row.published) and table_row.command and row.depth
    }
    assert len(set(commands.values())) == len(commands) == 9


def test_vgg_16_is_trained_and_measured_beneath_its_authors_figure() -> None:
    """Table 3's caption says that the authors tested it themselves; of the others they did not."""
    vgg, googlenet = PUBLISHED[3][:2]
    empty = table_of(3, [])
    command = paper_row(empty, vgg).command
    assert command == "resnet-cluster submit jobs/imagenet_vgg16.yaml"
    assert paper_row(empty, googlenet).command == ""
    run = make_imagenet_run(shipped("imagenet_vgg16"), {"single": 30.0})
    evaluate = f"resnet-cluster evaluate {run.run_id} --protocol ten-crop"
    assert paper_row(table_of(3, [run]), vgg).command == evaluate
    measured = make_imagenet_run(shipped("imagenet_vgg16"), {TEN: 28.5})
    table = table_of(3, [measured])
    assert (paper_row(table, vgg).command, paper_row(table, vgg).cell) == ("", None)
    beneath = table.rows[table.rows.index(paper_row(table, vgg)) + 1]
    assert (beneath.model, beneath.is_beneath, beneath.layers) == ("vgg16", True, None)
    assert beneath.cell is not None
    assert beneath.cell.differs[0] == "vgg16, no network of the paper's"
    assert beneath.cell.difference is None


def test_a_users_network_has_a_row_of_its_own() -> None:
    model = {
        "family": "custom",
        "entry": "nets:wide",
        "options": {"width": 2},
        "source_sha256": "a" * 64,
    }
    stored = shipped("imagenet_r50_paper").model_dump(mode="json") | {"model": model}
    job = JobSpec.model_validate(stored, strict=False)
    row = table_of(3, [make_imagenet_run(job, {TEN: 24.0})]).rows[-1]
    assert (row.model, row.published) == ("wide(width=2)", None)
    edited = JobSpec.model_validate(
        stored | {"model": model | {"source_sha256": "b" * 64}}, strict=False
    )
    runs = [make_imagenet_run(each, {TEN: 24.0}) for each in (job, edited)]
    rows = [row for row in table_of(3, runs).rows if row.model == "wide(width=2)"]
    assert [row.cell.spread.n for row in rows if row.cell] == [1, 1]
    # 1 and true are equal values, and the networks need not be.
    odd = JobSpec.model_validate(
        stored | {"seed": 1, "model": model | {"options": {"width": True}}}, strict=False
    )
    one = JobSpec.model_validate(
        stored | {"model": model | {"options": {"width": 1}}}, strict=False
    )
    rows = table_of(3, [make_imagenet_run(each, {TEN: 24.0}) for each in (one, odd)]).rows
    names = {row.model: row.cell.spread.n for row in rows if row.cell}
    assert names == {"wide(width=1)": 1, "wide(width=true)": 1}


def test_a_run_that_lacks_but_the_figure_is_measured() -> None:
    run = make_imagenet_run(shipped("imagenet_r50_paper"), {"single": 24.0})
    (three, four) = (PUBLISHED[3][7], PUBLISHED[4][7])
    evaluate = f"resnet-cluster evaluate {run.run_id} --protocol"
    assert paper_row(table_of(3, [run]), three).command == f"{evaluate} ten-crop"
    assert paper_row(table_of(4, [run]), four).command == f"{evaluate} multi-scale"
    beneath = [row for row in table_of(3, [run]).rows if row.is_beneath]
    assert [row.cell.differs for row in beneath if row.cell] == [
        ("protocol single, not 10-crop (224 of 256) or multi-scale (224 to 640)",)
    ]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], ()),
        (["train.bn_group=64"], ()),
        (["train.schedule.patience=9", "seed=3"], ()),
        (["model.depth=50", "model.shortcut=A"], ("shortcut A, not B",)),
        (["model.shortcut=none"], ("the paper has no plain-50",)),
        (["model.variant=v1.5"], ("variant v1.5, not v1",)),
        (["model.blur_pool=true"], ("BlurPool",)),
        (["train.iterations=300000"], ("60 of 120 epochs",)),
        (["data.augment.color=none"], ("colours not augmented",)),
        (["data.augment.flip=false"], ("no flips",)),
        (
            ["data.crop.shorter_side=[256, 320]"],
            (
                "crops of 224 from a shorter side of 256 to 320, "
                "not of 224 from a shorter side of 256 to 480",
            ),
        ),
        (
            ["data.crop={kind: random_resized, size: 224}"],
            ("random resized crops, not of 224 from a shorter side of 256 to 480",),
        ),
        (["train.schedule={kind: cosine}"], ("cosine schedule, not plateau",)),
        (["train.schedule.gamma=0.5"], ("rate multiplied by 0.5 at a drop, not 0.1",)),
        (["train.warmup={kind: linear, length: 10}"], ("warm-up",)),
        (["train.label_smoothing=0.1"], ("label smoothing 0.1",)),
        (["data.normalize=channel_mean"], ("mean colour subtracted, not the mean image",)),
    ],
)
def test_one_change_is_one_difference(overrides: list[str], says: tuple[str, ...]) -> None:
    run = make_imagenet_run(shipped("imagenet_r50_paper", *overrides), {TEN: 24.0})
    assert differences(run, run.evaluations[0]) == says


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoding": "png"}, ("PNG copy, its pixels unchecked",)),
        ({"num_test_images": 5000}, ("5,000 of 50,000 test images",)),
        ({"num_train_images": 1_231_167}, ("1,231,167 of 1,281,167 training images",)),
        ({"num_classes": 100}, ("data set imagenet, not ImageNet",)),
        ({"name": "mine", "source": "train"}, ("data set mine, not ImageNet",)),
        ({"name": "mine", "source": "ILSVRC2012"}, ()),
    ],
)
def test_the_data_set_must_be_the_papers(changes: dict[str, Any], says: tuple[str, ...]) -> None:
    dataset = IMAGENET.model_copy(update=changes)
    run = make_imagenet_run(shipped("imagenet_r50_paper"), {TEN: 24.0}, dataset=dataset)
    assert [words for words in differences(run, run.evaluations[0]) if "epochs" not in words] == [
        *says
    ]


def test_a_protocol_of_other_sizes_or_averages_is_not_the_papers() -> None:
    job = shipped("imagenet_r50_paper")
    for protocol in ("ten-crop-224of256-logits", "ten-crop-256of292-softmax", "flip-softmax"):
        run = make_imagenet_run(job, {protocol: 24.0})
        (says,) = differences(run, run.evaluations[0])
        assert says.startswith(f"protocol {protocol}, not 10-crop")
    job = shipped("imagenet_r50_paper", "model.depth=34", "model.shortcut=none")
    plain = make_imagenet_run(job, {MANY: 24.0})
    (says,) = differences(plain, plain.evaluations[0])
    assert says == "the paper has no plain-34 under multi-scale"


def test_the_modern_recipe_stands_beneath_the_papers_row() -> None:
    run = make_imagenet_run(shipped("imagenet_r50"), {"single": 26.0, "flip-logits": 25.5})
    table = table_of(3, [run])
    place = next(at for at, row in enumerate(table.rows) if row.model == "ResNet-50")
    beneath = [row for row in table.rows if row.is_beneath]
    assert table.rows[place + 1 : place + 3] == tuple(beneath)
    for row in beneath:
        assert row.cell is not None
        assert row.cell.difference is None
        assert {"16 of 120 epochs", "BlurPool", "variant v1.5, not v1"} <= set(row.cell.differs)


def test_a_network_that_the_paper_has_not_comes_last() -> None:
    run = make_imagenet_run(shipped("imagenet_r50_paper", "model.shortcut=none"), {TEN: 24.0})
    assert table_of(3, [run]).rows[-1].model == "plain-50"
    assert [row for row in table_of(2, [run]).rows if row.published is None] == []


def make_ensemble(runs: Sequence[RunSummary]) -> EnsembleRecord:
    return EnsembleRecord(
        members=tuple(run.run_id for run in runs),
        protocol=MANY,
        average="softmax",
        split="test",
        select="final",
        num_moved=0,
        errors=make_errors(18.5).model_copy(update={"top5_err": 4.1}),
    )


def test_ensembles_are_never_compared_with_the_test_server() -> None:
    jobs = [shipped("imagenet_r50_paper", f"model.depth={d}", run_name=f"n{d}") for d in (50, 101)]
    runs = [make_imagenet_run(job, {MANY: 20.0}) for job in [*jobs, jobs[0]]]
    gone = make_imagenet_run(jobs[0], {})
    cifar = make_imagenet_run(jobs[0], {}, dataset=CIFAR10)
    records = [make_ensemble(members) for members in (runs, [cifar, cifar], [runs[0], gone])]
    table = table_of(5, [*runs, cifar], ensembles=records)
    assert [row.published for row in table.rows[:-1]] == list(PUBLISHED[5])
    assert [row.command for row in table.rows] == [""] * 7
    ours = table.rows[-1]
    assert (ours.model, ours.ensemble) == ("2 x ResNet-50 + ResNet-101", records[0])
    assert all(row.cell is None for row in table.rows)
    assert "not compared" in table.notes[0]
    # Those on other data are in a table of their own, beside the runs.
    others, *papers = build_report([*runs, cifar], ensembles=records).tables
    assert [row.model for row in others.rows] == ["2 x ResNet-50 on cifar10"]
    assert [row.ensemble for row in others.rows] == [records[1]]
    assert ours_text(others.rows[0]) == "18.50 / 4.10"
    assert [each.number for each in papers] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("format", [Format.JSON, Format.CSV])
def test_ensembles_are_told_to_programs(format: Format) -> None:
    jobs = [shipped("imagenet_r50_paper", f"model.depth={d}", run_name=f"n{d}") for d in (50, 101)]
    runs = [make_imagenet_run(job, {MANY: 20.0}) for job in jobs]
    report = build_report(runs, table=5, ensembles=[make_ensemble(runs)])
    stream = io.StringIO()
    render(report, format, Console(file=stream))
    if format is Format.JSON:
        (ours,) = [each for each in json.loads(stream.getvalue()) if "members" in each]
        assert ours["members"] == [run.run_id for run in runs]
    else:
        lines = csv.DictReader(io.StringIO(stream.getvalue()))
        (ours,) = [line for line in lines if line["members"]]
        assert ours["members"] == "; ".join(run.run_id for run in runs)
    assert (float(ours["top1_err"]), float(ours["top5_err"])) == (18.5, 4.1)
    assert (ours["protocol"], ours["model"]) == (MANY, "ResNet-50 + ResNet-101")


def test_all_tables_are_shown_once_there_is_a_run_on_imagenet() -> None:
    run = make_imagenet_run(shipped("imagenet_r50_paper"), {TEN: 24.0})
    assert [table.number for table in build_report([run]).tables] == [1, 2, 3, 4, 5, 6]
    assert [table.number for table in build_report([]).tables] == [6]


def test_table_1_has_the_multiply_adds_of_our_networks() -> None:
    """Counted by hand for ResNet-50 v1: 3.86e9, which the paper prints as 3.8e9."""
    job = shipped("imagenet_r50_paper")
    run = make_imagenet_run(job, {})
    run = replace(run, record=run.record.model_copy(update={"flops": 3_858_000_000}))
    others = [
        make_imagenet_run(shipped("imagenet_r50_paper", change), {})
        for change in ("model.variant=v1.5", "model.shortcut=A", "model.blur_pool=true")
    ]
    small = IMAGENET.model_copy(update={"image_size": 192})
    others.append(make_imagenet_run(job, {}, dataset=small))
    rows = table_of(1, [*others, run]).rows
    assert [row.flops for row in rows] == [
        (1.8e9, None),
        (3.6e9, None),
        (3.8e9, 3_858_000_000),
        (7.6e9, None),
        (11.3e9, None),
    ]
    assert [ours_text(row) for row in rows] == ["\N{EN DASH}"] * 2 + ["3.86e9"] + [
        "\N{EN DASH}"
    ] * 2
    assert [published_text(row) for row in rows][::4] == ["1.8e9", "11.3e9"]
    assert rows[0].command.endswith("--name imagenet_r18a_paper")
    assert "model.shortcut" not in rows[3].command
    assert rows[2].command == ""
