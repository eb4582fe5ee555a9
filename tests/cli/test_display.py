"""What is seen of a training: lines on a pipe, a live line on a terminal, objects for programs."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import pytest
from factories import make_attempt_events, make_epoch, make_evaluation, make_job, make_run_record
from hypothesis import given
from hypothesis import strategies as st
from terminal import on_terminal, without_escapes

from resnet_cluster.cli.display import duration, training_display
from resnet_cluster.cli.output import Output, printable
from resnet_cluster.results import AnyRecord, RunState
from resnet_cluster.training import Progress

PROGRESS: dict[str, Any] = {
    "step": 1234,
    "num_steps": 64_000,
    "epoch": 12,
    "lr": 0.0123,
    "loss": 1.2345,
    "top1_err": 45.67,
    "images_per_second": 4321.0,
    "remaining_s": 3723.0,
}
SHOWN = ["epoch 12", "1,234/64,000", "loss 1.2345", "45.67", "lr 0.0123", "4,321 img/s", "1:02:03"]
ON_TERMINAL = f"""
import os, sys
from types import SimpleNamespace as Progress  # the real one's package imports torch
from resnet_cluster.cli.display import training_display
from resnet_cluster.cli.output import Output
real = os.fdopen(os.dup(2), "w")
nowhere = os.open("/dev/null", os.O_WRONLY)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)
with training_display(Output.table, err=real) as display:
    display.tell(Progress(**{PROGRESS!r}))
    display.tell("a [red]sentence[/red]\\x1b]0;title\\x07")
    print("noise", flush=True)
    print("noise", file=sys.stderr)
"""


def _all_news() -> list[AnyRecord]:
    run = make_run_record(make_job())
    return [
        run,
        *make_attempt_events(RunState.FAILED),
        make_epoch(3),
        make_evaluation(run, 8.75),
    ]


def _shown(output: Output) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with training_display(output, out=out, err=err) as display:
        for record in _all_news():
            display.tell(record)
        display.tell(Progress(**PROGRESS))
        display.tell("a sentence")
    return out.getvalue(), err.getvalue()


def test_json_is_an_object_a_line() -> None:
    out, err = _shown(Output.json)
    assert err == ""
    objects = [json.loads(line) for line in out.splitlines()]
    assert {line["schema_version"] for line in objects} == {1}
    *records, progress = objects
    assert [record["kind"] for record in records] == [record.kind for record in _all_news()]
    assert progress["kind"] == "progress"
    assert {key: progress[key] for key in PROGRESS} == PROGRESS


def test_plain_lines_tell_of_each_event() -> None:
    out, err = _shown(Output.table)
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "training on 2 workers, H100"
    assert lines[1] == "FAILED: as told"
    assert lines[2].split()[:6] == ["epoch", "3", "step", "1,170", "loss", "0.5000"]
    assert "61.25 % (observed)" in lines[2]
    assert lines[3] == "test error, single view: 8.75 %, top-5 0.40 % (10,000 images)"
    assert lines[4:] == ["a sentence"]  # the progress came too soon after the lines before it
    assert "\x1b" not in err


def test_plain_lines_tell_of_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_cluster.cli.display.PLAIN_LINE_EVERY_S", 0.0)
    err = io.StringIO()
    with training_display(Output.table, err=err) as display:
        display.tell(Progress(**PROGRESS))
    (line,) = err.getvalue().splitlines()
    assert [part for part in SHOWN if part not in line] == []


@pytest.mark.parametrize("columns", [120, 80])
def test_a_live_line_shows_all_of_it(columns: int) -> None:
    environment = _plain_environment() | {"TERM": "xterm-256color"}
    written = on_terminal(ON_TERMINAL, environment=environment, columns=columns)
    assert "\x1b[2K" in written  # it is drawn again
    text = " ".join(without_escapes(written).split())
    assert [part for part in SHOWN if part not in text] == []
    assert "a [red]sentence[/red]" in text
    assert "\x1b]" not in written
    assert "noise" not in text


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_line_is_drawn_again_where_plain_text_is_wanted(plain: dict[str, str]) -> None:
    environment = _plain_environment() | {"TERM": "xterm-256color"} | plain
    written = on_terminal(ON_TERMINAL, environment=environment)
    assert "\x1b" not in written
    assert "a [red]sentence[/red]" in written


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.6, "0:01:00"), (3723, "1:02:03"), (90_061, "1 day, 1:01:01")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text())
def test_printable_text_cannot_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(character.isprintable() or character == "\n" for character in shown)
    shown.encode()  # no lone surrogates
    if text.isprintable():
        assert shown == text


def _plain_environment() -> dict[str, str]:
    unwanted = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TERM")
    return {name: value for name, value in os.environ.items() if name not in unwanted}
