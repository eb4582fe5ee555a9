"""What people and programs get to read: every format, narrow terminals, hostile names."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from factories import (
    CIFAR10,
    DIGITS,
    PAPER_WARMUP,
    make_job,
    make_run_record,
    record_run,
)
from fixture_types import MakeRun
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from resnet_cluster.report import TELLING_OF_RUNS, Format, build_report, render
from resnet_cluster.report.escaping import markdown, plain, spreadsheet
from resnet_cluster.report.tables import TITLES
from resnet_cluster.report.wording import NOTHING, uses_text
from resnet_cluster.results import (
    AnyRun,
    ArtefactRecord,
    ResultStore,
    RunState,
    RunSummary,
    UsesOfTestSet,
)

JPEG = CIFAR10.model_copy(update={"encoding": "jpeg", "sha256": "e" * 64})
SHORT = {"train.iterations": 780, "train.schedule.milestones": [390, 585]}
HOSTILE = "[red]x[/] |=1+1\x1b[31m\n`a`<b>*&amp;\u202e_"


def rendered(
    runs: Sequence[AnyRun], format: Format, *, width: int = 80, table: int | None = None
) -> str:
    stream = io.StringIO()
    render(build_report(runs, table=table), format, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.fixture
def runs(make_run: MakeRun) -> list[RunSummary]:
    deep = {"model.depth": 110, "train.warmup": PAPER_WARMUP, "name": "cifar10_r110"}
    return [
        make_run({"name": "digits_r20"}, 1.94, dataset=DIGITS),
        make_run(SHORT, 54.31, dataset=JPEG),
        *(make_run({"name": f"r20-{n}", "seed": n}, e) for n, e in enumerate((8.61, 8.92, 8.70))),
        make_run({"name": "a-name-of-sixty-three-characters" + "-and-more" * 3, "seed": 9}, 8.77),
        make_run({"name": "cifar10_r32", "model.depth": 32}, state=None),
        make_run({"name": "plain", "model.shortcut": "none"}, 9.5),
        make_run(deep, 6.5),
        make_run({"name": "gone"}, state=RunState.LOST),
    ]


def test_json_is_a_row_for_each_figure(runs: list[RunSummary]) -> None:
    rows = json.loads(rendered(runs, Format.JSON), parse_constant=pytest.fail)
    assert [row["run_id"] for row in rows] == [run.run_id for run in runs]
    assert {len(row) for row in rows} == {len(rows[0])}
    digits, jpeg, first, *_, deep, lost = rows
    assert digits["model"] == "ResNet-20"
    assert digits["dataset"] == "digits"
    assert (digits["top1_err"], digits["published_top1_err"]) == (1.94, None)
    assert digits["differs"] == ["data set digits, not CIFAR-10"]
    assert jpeg["differs"] == ["2 of 164 epochs", "JPEG copy"]
    assert jpeg["difference"] is None
    assert (first["top1_err"], first["published_top1_err"]) == (8.61, 8.75)
    assert (first["difference"], first["differs"], first["table"]) == (-0.14, [], 6)
    assert (first["n"], first["seeds"], first["best_top1_err"]) == (4, [0, 1, 2, 9], 8.61)
    assert (deep["published_top1_err"], deep["std_top1_err"]) == (6.43, None)
    assert (lost["state"], lost["top1_err"], lost["differs"]) == ("LOST", None, ["not evaluated"])
    assert {row["schema_version"] for row in rows} == {1}


def test_json_of_an_empty_store_is_an_empty_list() -> None:
    assert json.loads(rendered([], Format.JSON)) == []
    assert json.loads(rendered([], Format.JSON, table=6)) == []


def test_one_table_has_only_its_figures(runs: list[RunSummary]) -> None:
    rows = json.loads(rendered(runs, Format.JSON, table=6))
    assert [row["name"] for row in rows][:2] == ["cifar10_r20", "r20-0"]
    assert {row["top1_err"] for row in rows}.isdisjoint({1.94, None})
    shown = rendered(runs, Format.TABLE, table=6)
    assert shown.startswith("Table 6")
    assert "digits" not in shown


def test_csv_has_the_same_rows_and_the_papers(runs: list[RunSummary]) -> None:
    rows = list(csv.DictReader(io.StringIO(rendered(runs, Format.CSV))))
    objects = json.loads(rendered(runs, Format.JSON))
    ours = [row for row in rows if row["run_id"]]
    for row, wanted in zip(ours, objects, strict=True):
        assert row["differs"] == "; ".join(wanted["differs"])
        for key in ("top1_err", "difference", "published_top1_err", "n", "depth"):
            assert row[key] == ("" if wanted[key] is None else str(wanted[key]))
    empty = {row["model"]: row for row in rows if not row["run_id"]}
    assert set(empty) >= {"Maxout", "ResNet-32", "ResNet-1202"}
    assert empty["ResNet-32"]["published_top1_err"] == "7.51"
    assert "model.depth=32" in empty["ResNet-32"]["command"]
    assert "ResNet-20" not in empty


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_everything_within_its_width(runs: list[RunSummary], width: int) -> None:
    lines = rendered(runs, Format.TABLE, width=width).splitlines()
    body = [line for line in lines if "resnet-cluster" not in line]
    assert max(map(len, body)) <= width
    text = "\n".join(line.rstrip() for line in lines)
    assert "…" not in text
    assert re.search(
        r"^ResNet-20 +20 +0\.27M +8\.75 +8\.61 \(8\.75±0\.13\) +\+0\.00 +4$", text, re.M
    )
    assert re.search(
        r"^ResNet-110 +110 +1\.7M +6\.43 \(6\.61±0\.16\) +6\.50 +\+0\.07 +1$", text, re.M
    )
    assert re.search(r"^\((\w)\) not compared: 2 of 164 epochs; JPEG copy$", text, re.M)
    assert re.search(
        r"^cifar10_r20 +ResNet-20 +cifar10 +SUCCEEDED +2/2 +54\.31 +\(b\)$", text, re.M
    )
    assert text.count("(b)") == 3  # in the runs, in the table, and the note


def test_seeds_share_a_line_where_their_newest_run_is(make_run: MakeRun) -> None:
    runs = [
        make_run({"name": "a0"}, 8.0),
        make_run({"name": "b0", "train.lr": 0.2}, 9.0),
        make_run({"name": "c", "train.lr": 0.3}, state=RunState.FAILED),
        make_run({"name": "d", "train.lr": 0.3}, state=RunState.FAILED),
        make_run({"name": "a1", "seed": 1}, 8.4, state=RunState.RUNNING),
        make_run({"name": "digits"}, 2.0, dataset=DIGITS),
        make_run({"name": "digits", "seed": 1}, 4.0, dataset=DIGITS),
    ]
    grid = rendered(runs, Format.MD).split("\n\n")[1]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in grid.splitlines()[2:]]
    assert [(line[0], line[3], line[5], line[6]) for line in cells] == [
        ("b0", "SUCCEEDED", "9.00", NOTHING),
        ("c", "FAILED", NOTHING, NOTHING),
        ("d", "FAILED", NOTHING, NOTHING),
        ("a0 +1", "SUCCEEDED, RUNNING", "8.00 (8.20±0.28)", "-0.55"),
        ("digits +1", "SUCCEEDED", "2.00 (3.00±1.41)", NOTHING),
    ]


def test_a_terminal_lists_the_newest_of_many_runs(make_run: MakeRun) -> None:
    runs = [make_run({"name": f"n{n:03d}", "train.lr": 0.1 + n}, 9.0) for n in range(103)]
    shown = rendered(runs, Format.TABLE)
    listed = re.findall(r"^n(\d{3}) ", shown, re.M)
    assert listed == [f"{n:03d}" for n in range(3, 103)]
    assert "The newest 100 lines of 103" in shown
    assert len(re.findall(r"^\| n\d{3} ", rendered(runs, Format.MD), re.M)) == 103


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_command_is_never_broken(width: int) -> None:
    lines = rendered([], Format.TABLE, width=width).splitlines()
    usual = "resnet-cluster submit jobs/cifar10_r20.yaml"
    wanted = f"ResNet-32    {usual} --set model.depth=32 --name cifar10_r32"
    assert wanted in [line.rstrip() for line in lines]
    assert lines[0] == "No runs yet."


def test_the_console_decides_on_colour(runs: list[RunSummary]) -> None:
    report = build_report(runs)
    plain_stream, colour_stream = io.StringIO(), io.StringIO()
    render(report, Format.TABLE, Console(file=plain_stream, width=80))
    coloured = Console(file=colour_stream, width=80, force_terminal=True, color_system="standard")
    render(report, Format.TABLE, coloured)
    assert "\x1b" not in plain_stream.getvalue()
    without = re.sub(r"\x1b\[[0-9;]*m", "", colour_stream.getvalue())
    assert without == plain_stream.getvalue()
    assert without != colour_stream.getvalue()


@pytest.fixture
def hostile(make_run: MakeRun) -> list[RunSummary]:
    dataset = DIGITS.model_copy(update={"name": HOSTILE, "encoding": "=cmd()"})
    run = make_run(None, 3.0, dataset=dataset)
    record = run.record.model_copy(update={"name": HOSTILE})
    object.__setattr__(run, "record", record)
    return [run]


def test_a_terminal_shows_hostile_names_as_they_are(hostile: list[RunSummary]) -> None:
    text = rendered(hostile, Format.TABLE, width=200)
    assert "[red]x[/] |=1+1\\x1b[31m\\n`a`<b>*&amp;\\u202e_" in text
    assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in text if c != "\n")


def test_markdown_shows_hostile_names_as_they_are(hostile: list[RunSummary]) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(rendered(hostile, Format.MD))
    cells = [token for token in tokens if token.type == "inline"]
    shown = ["".join(child.content for child in cell.children or []) for cell in cells]
    name = "[red]x[/] |=1+1\\x1b[31m\\n`a`<b>*&amp;\\u202e_"
    assert shown.count(name) == 2
    kinds = {child.type for cell in cells for child in cell.children or []}
    assert kinds <= {"text", "text_special", "code_inline"}
    body_rows = [token for token in tokens if token.type == "tr_open"]
    assert len(body_rows) == 1 + 1 + 1 + 12  # two headers, a run, the paper's rows


def test_csv_holds_no_formula(hostile: list[RunSummary]) -> None:
    row, *_ = csv.DictReader(io.StringIO(rendered(hostile, Format.CSV)))
    assert row["encoding"] == "'=cmd()"


@given(st.text())
def test_escaped_text_is_harmless(text: str) -> None:
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in plain(text))
    assert spreadsheet(text).lstrip()[:1] not in {"=", "+", "-", "@"}
    cell = f"| a | b |\n| - | - |\n| {markdown(text)} | x |\n"
    tokens = MarkdownIt("commonmark").enable("table").parse(cell)
    inline = [token for token in tokens if token.type == "inline"]
    assert len(inline) == 4
    assert {child.type for child in inline[2].children or []} <= {"text", "text_special"}
    shown = "".join(child.content for child in inline[2].children or [])
    assert shown == plain(text).strip()


def test_what_cannot_be_encoded_is_spelt_out() -> None:
    assert plain("a\ud800\u2028b\x00") == "a\\ud800\\u2028b\\x00"


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_harmless_text_is_left_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_a_rebuilt_store_gives_the_same_report(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for number, top1_err in enumerate((8.61, 8.92, 54.31)):
        changes = SHORT if top1_err > 50 else {}
        job = make_job({"seed": number, "name": f"run-{number}"} | changes)
        run = make_run_record(job, run_id=f"r-{number}", minute=-number)
        record_run(root, run, top1_err=top1_err)
    record_run(root, make_run_record(make_job(), run_id="r-9"), state=None)

    def reports() -> dict[Format, str]:
        with ResultStore.open(f"sqlite:///{tmp_path}/store.db", runs_root=root) as store:
            assert store.ingest() == ()
            return {format: rendered(store.runs(), format) for format in Format}

    before = reports()
    (tmp_path / "store.db").unlink()
    assert reports() == before
    assert json.loads(before[Format.JSON])[0]["run_id"] == "r-2"


def test_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, resnet_cluster.report\n"
        "heavy = {'torch', 'ray', 'ffcv', 'sqlalchemy', 'alembic', 'numpy'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("format", [f for f in Format if f not in TELLING_OF_RUNS])
@pytest.mark.parametrize("table", [None, *TITLES])
def test_a_table_of_outlines_is_that_of_the_runs(
    tmp_path: Path, format: Format, table: int | None
) -> None:
    for number, (changes, error, dataset) in enumerate(
        (
            ({"seed": 1}, 8.9, CIFAR10),
            ({"seed": 0}, 8.6, CIFAR10),
            ({"seed": 1}, 8.8, CIFAR10),
            ({"train.lr": 0.2}, 8.0, CIFAR10),
            ({"model.depth": 32}, None, CIFAR10),
            (SHORT, 54.3, JPEG),
            (None, 2.0, DIGITS),
        )
    ):
        run = make_run_record(
            make_job(changes), dataset=dataset, run_id=f"r-{number}", minute=-number
        )
        log = record_run(tmp_path / "runs", run, top1_err=error)
        log.record(ArtefactRecord(name="weights", path="w.pt", sha256="0" * 64, num_bytes=1))
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with ResultStore.open(url, runs_root=tmp_path / "runs") as store:
        store.ingest()
        expected = rendered(store.runs(), format, table=table)
        assert rendered(store.outlines(), format, table=table) == expected
    assert ("8.60" in expected) is (table in (None, 6))


def test_uses_of_a_test_set_are_told_beside_the_runs_that_there_are() -> None:
    """Runs that have not seen it are among these, so they are not said to have used it."""
    uses = UsesOfTestSet(
        name="digits", dataset_sha256="0" * 64, num_runs=2, num_figures=1, num_observed=10
    )
    assert uses_text(uses) == (
        "The test images of digits have been used 11 times, with 2 runs begun: 1 figure, "
        "10 errors observed while training."
    )
