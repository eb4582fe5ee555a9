"""Figures of weights that were trained elsewhere: shown, and kept apart from all others."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from factories import DIGITS, IMAGENET
from fixture_types import MakeRun
from rich.console import Console

from resnet_cluster.report import Format, build_report, differences, render
from resnet_cluster.report.figures import drawable
from resnet_cluster.report.measured import cells, measured
from resnet_cluster.results import (
    EnsembleRecord,
    EpochRecord,
    ImportedWeights,
    ResponsesRecord,
    RunSummary,
)


def imported(run: RunSummary, weights: str = "e") -> RunSummary:
    """The same run, had its weights been imported."""
    origin = ImportedWeights(
        file="w.pth", format="torch", sha256="f" * 64, weights_sha256=weights * 64
    )
    record = run.record.model_copy(update={"imported": origin, "num_steps": 0})
    evaluations = tuple(e.model_copy(update={"step": 0}) for e in run.evaluations)
    return replace(run, record=record, evaluations=evaluations, last_epoch=None)


def test_it_is_never_compared(make_run: MakeRun) -> None:
    ours, theirs = make_run(None, 8.7), imported(make_run({"name": "theirs"}, 8.7))
    assert differences(ours, ours.evaluations[0]) == ()
    assert differences(theirs, theirs.evaluations[0]) == ("trained elsewhere",)
    assert differences(theirs, None) == ("trained elsewhere",)
    (figure,) = measured([theirs])
    assert (figure.published, figure.difference) == (None, None)


@pytest.mark.parametrize(
    ("changes", "dataset", "says"),
    [
        ({"train.lr": 0.2, "data.augment.pad": 0}, None, ()),
        ({"model.shortcut": "B"}, None, ("shortcut B, not A",)),
        ({}, DIGITS, ("data set digits, not CIFAR-10",)),
        (
            {"model": {"family": "imagenet", "depth": 50, "shortcut": "B", "variant": "v1.5"}},
            IMAGENET,
            (
                "variant v1.5, not v1",
                "protocol single, not 10-crop (224 of 256) or multi-scale (224 to 640)",
            ),
        ),
    ],
)
def test_the_jobs_recipe_says_nothing_of_it(
    make_run: MakeRun, changes: Mapping[str, Any], dataset: Any, says: tuple[str, ...]
) -> None:
    options = {"dataset": dataset} if dataset else {}
    run = imported(make_run(changes, 8.7, **options))
    assert differences(run, run.evaluations[0]) == ("trained elsewhere", *says)


def test_it_shares_no_cell(make_run: MakeRun) -> None:
    runs = [
        make_run({"name": "ours"}, 8.0),
        make_run({"name": "ours-2", "seed": 1}, 8.2),
        imported(make_run({"name": "one", "seed": 2}, 8.4)),
        imported(make_run({"name": "other", "seed": 3}, 8.6), weights="d"),
    ]
    found = [[f.run.name for f in cell.figures] for cell in cells(measured(runs)).values()]
    assert found == [["ours", "ours-2"], ["one"], ["other"]]
    (table,) = build_report(runs, table=6).tables
    (row,) = [row for row in table.rows if row.published and row.cell]
    assert row.cell is not None
    assert [figure.run.name for figure in row.cell.figures] == ["ours", "ours-2"]
    beneath = [row.cell.figures[0].run.name for row in table.rows if row.is_beneath and row.cell]
    assert beneath == ["one", "other"]


def test_it_fills_no_cell_of_the_papers(make_run: MakeRun) -> None:
    run = imported(make_run(None, 8.7))
    (table,) = build_report([run], table=6).tables
    row = next(row for row in table.rows if row.model == "ResNet-20" and row.is_papers)
    assert row.cell is None
    assert row.command == "resnet-cluster submit jobs/cifar10_r20.yaml --name cifar10_r20-2"


@pytest.mark.parametrize("format", Format)
def test_every_format_shows_it(make_run: MakeRun, format: Format) -> None:
    runs = [imported(make_run(None, 8.7)), imported(make_run({"name": "unmeasured"}))]
    stream = io.StringIO()
    render(build_report(runs), format, Console(file=stream, width=100))
    assert "trained elsewhere" in stream.getvalue()
    assert "w.pth" in stream.getvalue() or format not in (Format.JSON, Format.HTML)


def test_an_ensemble_says_how_many_of_it_were_trained_elsewhere(make_run: MakeRun) -> None:
    runs = [make_run(None, 8.7), imported(make_run({"name": "theirs"}, 8.7))]
    record = EnsembleRecord(
        members=tuple(run.run_id for run in runs),
        protocol="single",
        average="softmax",
        split="test",
        select="final",
        num_moved=0,
        errors=runs[0].evaluations[0].errors,
    )
    (row,) = build_report(runs, ensembles=[record]).tables[0].rows
    assert row.model == "2 x ResNet-20 on cifar10, 1 trained elsewhere"


class Details:
    """A store that knows of epochs and layers."""

    def epochs(self, run_id: str) -> tuple[EpochRecord, ...]:
        """None."""
        return ()

    def responses(self, run_id: str) -> tuple[ResponsesRecord, ...]:
        """One."""
        return (ResponsesRecord(split="test", num_images=9, layers=()),)


def test_it_draws_no_figure(make_run: MakeRun) -> None:
    assert drawable([make_run(None, 8.7)], Details()) == (6, 7)
    assert drawable([imported(make_run(None, 8.7))], Details()) == ()
