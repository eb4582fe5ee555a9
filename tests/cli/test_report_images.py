"""`report --figure` and the HTML report, from a store to files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cli_calls import Call, assert_refused
from factories import make_job, make_run_record, record_run


@pytest.fixture
def runs(home: Path) -> Path:
    """A plain and a residual net with three epochs each."""
    for number, shortcut in enumerate(("none", "A")):
        job = make_job({"model.shortcut": shortcut, "name": f"run{number}"})
        record_run(
            home / "runs", make_run_record(job, run_id=f"r-{number}"), top1_err=9.0, num_epochs=3
        )
    return home


def test_a_figure_is_drawn_into_a_file(runs: Path, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "fig6.svg"
    drawn = call("report", "--figure", "6", "--out", path)
    assert (drawn.code, drawn.out) == (0, ""), drawn.err
    assert f"wrote {path}" in " ".join(drawn.err.split())
    assert ET.parse(path).getroot().tag.endswith("svg")
    for suffix in ("png", "pdf"):
        assert call("report", "--figure", "1", "--out", tmp_path / f"f.{suffix}").code == 0


def test_what_cannot_be_drawn_leaves_no_file(runs: Path, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "f.svg"
    assert_refused(call("report", "--figure", "4", "--out", path), 3, "no run has a curve")
    assert_refused(call("report", "--figure", "9", "--out", path), 2, "no Figure 9")
    assert_refused(call("report", "--figure", "6"), 2, "add --out figure.svg")
    assert_refused(call("report", "--figure", "6", "--out", tmp_path / "f.gif"), 2, "gif")
    assert_refused(call("report", "--figure", "6", "--out", tmp_path / "f"), 2, "svg, png, pdf")
    both = call("report", "--figure", "6", "--table", "6", "--out", path)
    assert_refused(both, 2, "neither --table, --format, --fill nor --claims")
    assert list(tmp_path.glob("f*")) == []


def test_the_page_has_the_figures_that_there_are_curves_for(runs: Path, call: Call) -> None:
    text = call("report", "--format", "html").out
    assert text.count("<figure>") == 2  # Figures 1 and 6
    assert "Figure 6: plain and residual nets on CIFAR-10" in text
    assert "<?xml" not in text


def test_latex_goes_into_a_file(runs: Path, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "table6.tex"
    assert call("report", "--table", "6", "--format", "latex", "--out", path).code == 0
    assert path.read_text().count("\\begin{table}") == 1
