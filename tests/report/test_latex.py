"""The LaTeX report: rows of one width, braces that close, users' text that shows as it is."""

from __future__ import annotations

import io
import re

import pytest
from factories import CIFAR10, DIGITS
from fixture_types import MakeRun
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from resnet_cluster.report import Format, build_report, render
from resnet_cluster.report.escaping import latex, plain
from resnet_cluster.results import RunSummary

JPEG = CIFAR10.model_copy(update={"encoding": "jpeg"})
HOSTILE = r"\input{/etc/passwd}%&$#_{}~^\\^^41"
COMMANDS = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"\textasciigrave{}": "`",
    r"\textquotesingle{}": "'",
    "{[}": "[",
    "-{}": "-",
    ",{}": ",",
    r"$\pm$": "\N{PLUS-MINUS SIGN}",
}


def shown(text: str) -> str:
    """What LaTeX prints of escaped text: a second, small reader of what may be in it."""
    out = []
    while text:
        command = next((name for name in COMMANDS if text.startswith(name)), None)
        if command:
            out.append(COMMANDS[command])
            text = text[len(command) :]
        elif re.match(r"\\[&%$#_{}]", text):
            out.append(text[1])
            text = text[2:]
        elif text.startswith("--"):
            out.append("\N{EN DASH}")
            text = text[2:]
        else:
            assert text[0] not in "\\&%$#_{}~^`'[<>|", text
            assert text[:2] != ",,"
            out.append(text[0])
            text = text[1:]
    return "".join(out)


@given(st.text())
def test_escaped_text_shows_as_it_is(text: str) -> None:
    assert shown(latex(text)) == plain(text)


def rendered(runs: list[RunSummary]) -> str:
    stream = io.StringIO()
    render(build_report(runs), Format.LATEX, Console(file=stream, width=80))
    return stream.getvalue()


@pytest.fixture
def runs(make_run: MakeRun) -> list[RunSummary]:
    hostile = DIGITS.model_copy(update={"name": HOSTILE})
    return [
        make_run({"name": "r20"}, 8.61),
        make_run({"name": "seeds", "seed": 1}, 8.91),
        make_run(
            {"name": "copy", "model.depth": 32},
            7.6,
            dataset=CIFAR10.model_copy(update={"encoding": "jpeg"}),
        ),
        make_run(None, 3.0, dataset=hostile),
    ]


def test_tables_have_rows_of_one_width(runs: list[RunSummary]) -> None:
    text = rendered(runs)
    tables = re.findall(r"\\begin{tabular}{(\w+)}(.*?)\\end{tabular}", text, re.DOTALL)
    assert len(tables) == 2
    for columns, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 2
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1, row
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_figures_and_remarks_are_in_it(runs: list[RunSummary]) -> None:
    text = rendered(runs)
    lines = text.splitlines()
    assert r"ResNet-20 & 20 & 0.27M & 8.75 & 8.61 (8.76$\pm$0.21) & +0.01 & 2 &  \\" in lines
    assert r"\quad ResNet-32 & 32 & 0.27M &  & 7.60 & -- & 1 & $^{1}$ \\" in lines
    assert any(line.endswith(r"& 8.61 (8.76$\pm$0.21) & +0.01 &  \\") for line in lines)
    assert r"\par\footnotesize $^{1}$ not compared: JPEG copy" in text
    assert r"\input" not in text
    assert "resnet-cluster submit" not in text
