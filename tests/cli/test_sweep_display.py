"""What is shown while a sweep runs: lines, JSON, the live table and what it says is left."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from factories import START, make_attempt_events, make_epoch, make_evaluation, make_job
from factories import make_run_record as record_of
from rich.console import Console

from resnet_cluster.cli import sweep_display as display
from resnet_cluster.cli.output import Output
from resnet_cluster.results import RunState
from resnet_cluster.training import Progress

NAMES = ("sweep-d8", "sweep-d14\x1b[31m")
PROGRESS = Progress(
    step=30,
    num_steps=66,
    epoch=2,
    lr=0.1,
    loss=0.5,
    top1_err=40.0,
    images_per_second=512.0,
    remaining_s=90.0,
)


def shown(output: Output) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with display.sweep_display(NAMES, output, out=out, err=err) as tell:
        for event in make_attempt_events(None):
            tell(1, event)
        tell(1, PROGRESS)
        tell(1, PROGRESS)
        tell(0, make_epoch(1))
        tell(1, make_evaluation(record_of(make_job()), 8.61))
        tell(-1, "stopping")
    return out.getvalue(), err.getvalue()


def test_lines_name_their_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "PLAIN_LINE_EVERY_S", 0.0)
    out, err = shown(Output.table)
    lines = err.splitlines()
    assert out == ""
    assert "\x1b" not in err
    assert lines[0] == "sweep-d14\\x1b[31m: training on 2 workers, H100"
    assert lines[1].endswith("epoch 2  step 30/66  train 40.00 %  512 img/s  0:01:30 left")
    assert lines[2] == lines[1]
    assert lines[3].startswith("sweep-d8: epoch   1")
    assert "test error, single view: 8.61 %" in lines[4]
    assert lines[5:] == ["stopping"]


def test_a_line_of_progress_comes_now_and_then() -> None:
    _, err = shown(Output.table)  # the trial has just said that it trains
    assert "step 30/66" not in err


def test_json_is_an_object_a_line_with_its_trial() -> None:
    out, err = shown(Output.json)
    news = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert [(each["trial"], each["kind"]) for each in news] == [
        (2, "attempt_started"),
        (2, "attempt_training"),
        (2, "progress"),
        (2, "progress"),
        (1, "epoch"),
        (2, "evaluation"),
    ]
    assert {each["schema_version"] for each in news} == {1}


def test_the_live_table_has_running_trials_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(0, 10_000_000, 1))
    monkeypatch.setattr(display.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    target = Console(file=stream, width=100, force_terminal=True)
    table = display._LiveTable(
        ("first", "second", "third"), target, about="at most", ended={2: "SUCCEEDED"}
    )
    ended = make_attempt_events(RunState.SUCCEEDED)
    table.tell(0, ended[0])
    table.tell(0, ended[1])
    table.tell(0, make_evaluation(record_of(make_job()), 8.61))
    table.tell(0, ended[2].model_copy(update={"at": START + timedelta(hours=1)}))
    table.tell(1, ended[0])
    table.tell(1, ended[1])
    table.tell(1, PROGRESS)
    text = io.StringIO()
    Console(file=text, width=100).print(table._table())
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert lines[2][:4] == ["first", "SUCCEEDED", "8.61", "%"]
    assert lines[3][:5] == ["second", "training", "2", "512", "0:01:30"]
    assert lines[4] == ["third", "SUCCEEDED"]  # before
    assert "2 of 3 ended, 1 running" in text.getvalue()
    assert "used, at most " in text.getvalue()


def test_what_waits_is_taken_for_the_mean_of_what_is_known() -> None:
    now = 7200.0
    ended = display.Shown(state="SUCCEEDED", used_s=3600.0, workers=2)
    running = display.Shown(state="training", began=3600.0, remaining_s=1800.0, workers=1)
    waiting = display.Shown()
    assert ended.hours(now) == 2.0
    assert running.hours(now) == 1.0
    # Half an hour is left of what runs; three wait, each for the mean of 2 and 1.5 hours.
    assert display.hours_left([ended, running, *[waiting] * 3], now) == 0.5 + 3 * 1.75
    assert display.hours_left([waiting], now) is None
    of_a_pack = display.Shown(state="training", began=3600.0, remaining_s=1800.0, share=0.25)
    assert of_a_pack.hours(now) == 0.25
    assert display.hours_left([of_a_pack, waiting], now) == 0.125 + 0.375
    starting = display.Shown(state="starting", began=7000.0)
    assert display.hours_left([ended, starting], now) is None
