"""The HTML report: whole in itself, harmless, every figure traced, and used in a real browser."""

from __future__ import annotations

import html.parser
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from factories import CIFAR10, DIGITS, PAPER_WARMUP
from fixture_types import MakeRun
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from resnet_cluster.report import Format, Report, build_report, render
from resnet_cluster.report.html import _text
from resnet_cluster.results import RunSummary

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202e&amp;"
CHROMIUM = shutil.which("chromium")
DEADLINE_S = 60


def page(report: Report) -> str:
    stream = io.StringIO()
    render(report, Format.HTML, Console(file=stream, width=80))
    return stream.getvalue()


@pytest.fixture
def runs(make_run: MakeRun) -> list[RunSummary]:
    deep = {"model.depth": 110, "train.warmup": PAPER_WARMUP, "name": "cifar10_r110"}
    return [
        make_run({"name": "digits_r20"}, 1.94, dataset=DIGITS),
        *(make_run({"name": f"r20-{n}", "seed": n}, e) for n, e in enumerate((8.61, 8.92))),
        make_run({"train.lr": 0.2, "name": "fast"}, 12.25),
        make_run(deep, 6.5),
    ]


class Page(html.parser.HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [values[name] or "" for _, values in self.tags if name in values]


def test_it_loads_nothing_and_its_links_lead_somewhere(runs: list[RunSummary]) -> None:
    parsed = Page(page(build_report(runs)))
    assert not parsed.attributes("src")
    assert not [tag for tag, _ in parsed.tags if tag in ("link", "img", "iframe", "object")]
    links, ids = parsed.attributes("href"), set(parsed.attributes("id"))
    assert links
    assert {link.removeprefix("#") for link in links} == ids == {run.run_id for run in runs}
    assert all(link.startswith("#") for link in links)


def test_every_figure_leads_to_its_run_job_commit_data_and_command(runs: list[RunSummary]) -> None:
    text = page(build_report(runs))
    for run in runs:
        start = text.index(f'<details id="{run.run_id}">')
        details = " ".join(Page(text[start : text.index("</details>", start)]).texts)
        for fact in (
            run.key,
            run.dataset.sha256,
            run.record.git_commit or "",
            run.record.command,
            json.dumps(run.record.job),
        ):
            assert fact in details
    row = text[text.index(">ResNet-20<") : text.index(">ResNet-32<")]
    assert re.findall(r'href="#(r-\d+)"', row)[:2] == [runs[1].run_id, runs[2].run_id]


def test_hostile_names_are_text(make_run: MakeRun) -> None:
    run = make_run(None, 3.0, dataset=CIFAR10.model_copy(update={"name": HOSTILE + "cifar10"}))
    record = run.record.model_copy(update={"name": HOSTILE, "command": HOSTILE})
    object.__setattr__(run, "record", record)
    parsed = Page(page(build_report([run])))
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert not [tag for tag, _ in parsed.tags if tag == "img"]
    assert not [name for _, values in parsed.tags for name in values if name.startswith("on")]
    assert "\x1b" not in "".join(parsed.texts)


@given(st.text())
def test_escaped_text_is_only_text(text: str) -> None:
    parsed = Page(f'<p title="{_text(text)}">{_text(text)}</p>')
    assert [tag for tag, _ in parsed.tags] == ["p"]
    assert parsed.attributes("title") == ["".join(parsed.texts)]


def test_an_empty_store_has_a_page() -> None:
    text = page(build_report([]))
    assert "No runs yet." in text
    assert "Where the figures come from" not in text
    assert "--set model.depth=32" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: chromium)")
class TestInABrowser:
    """What people do with it."""

    def answers(self, report: Report, script: str, folder: Path, *, width: int = 1200) -> Any:
        """What a script returns once the page is there, in a window of that width."""
        file = folder / "report.html"
        # The page's own policy allows scripts in it.
        ask = f"<script>document.title = JSON.stringify((() => {{ {script} }})())</script>"
        file.write_text(page(report).replace("</body>", f"{ask}</body>"))
        assert CHROMIUM
        argv = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},900",
            "--dump-dom",
            file.as_uri(),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        (title,) = re.findall(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
        return json.loads(html.unescape(title))

    def test_columns_sort_and_lines_keep_what_is_beneath(
        self, runs: list[RunSummary], tmp_path: Path
    ) -> None:
        script = """
            const table = document.querySelectorAll("table")[1];
            const column = (n) => [...table.tBodies[0].rows].map((r) => r.cells[n].textContent);
            const button = (n) => table.tHead.rows[0].cells[n].querySelector("button");
            const before = column(0);
            button(3).click();
            const up = column(0), sort = table.querySelector("[aria-sort]").ariaSort;
            button(3).click();
            const down = column(0);
            button(1).click();
            return {before, up, sort, down, layers: column(1)};
        """
        found = self.answers(build_report(runs), script, tmp_path)
        names = found["before"]
        assert names[:2] == ["Maxout", "NIN"]
        # By what the paper printed: 6.43 is the least, 9.38 the most.
        assert (found["up"][0], found["up"][-1]) == ("ResNet-110", "Maxout")
        assert (found["down"][0], found["down"][-1]) == ("Maxout", "ResNet-110")
        assert found["sort"] == "ascending"
        for order in (found["before"], found["up"], found["down"]):
            assert sorted(order) == sorted(names)
            place = order.index("ResNet-20")
            assert order[place + 1] == "ResNet-20"  # the run with another rate, beneath it
        layers = [int(text) for text in found["layers"] if text]
        assert layers == sorted(layers)
        assert found["layers"][-3:] == ["", "", ""]

    def test_on_a_phone_nothing_lies_outside(self, runs: list[RunSummary], tmp_path: Path) -> None:
        script = """
            const wide = [...document.querySelectorAll("body *")].filter(
              (e) => e.getBoundingClientRect().right > innerWidth + 1);
            const cell = document.querySelector("td[data-label=error]");
            return {inner: innerWidth, scroll: document.documentElement.scrollWidth,
              wide: wide.map((e) => e.outerHTML.slice(0, 80)),
              shown: getComputedStyle(cell, "::before").content};
        """
        found = self.answers(build_report(runs), script, tmp_path, width=500)
        assert found["inner"] <= 500
        assert found["scroll"] <= found["inner"]
        assert found["wide"] == []
        assert "error" in found["shown"]

    def test_a_link_opens_what_it_leads_to(self, runs: list[RunSummary], tmp_path: Path) -> None:
        script = f"""
            location.hash = "#{runs[1].run_id}"; open();
            return [...document.querySelectorAll("details")].map((d) => d.open);
        """
        assert self.answers(build_report(runs), script, tmp_path) == [
            run is runs[1] for run in runs
        ]
