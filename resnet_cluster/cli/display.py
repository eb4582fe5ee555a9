"""What a user sees while something takes time: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from resnet_cluster.cli.output import Output, as_json, console, note, print_json, printable
from resnet_cluster.results import (
    AnyRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptTraining,
    BadSampleRecord,
    EnsembleRecord,
    EpochRecord,
    EvaluationRecord,
    ParityRecord,
    Record,
    SearchRecord,
)

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console

    from resnet_cluster.data import Progress as PreparationProgress
    from resnet_cluster.training import Progress

PLAIN_LINE_EVERY_S = 10.0


class Display(Protocol):
    """Shows a training: its progress, its events, and a sentence now and then."""

    def tell(self, news: Progress | AnyRecord | str) -> None:
        """Show what has happened."""


@contextlib.contextmanager
def training_display(
    output: Output,
    *,
    out: TextIO | None = None,
    err: TextIO | None = None,
    has_progress: bool = True,
    has_times: bool = False,
) -> Iterator[Display]:
    """A display for a training: JSON lines, a live line on a terminal, or plain lines.

    Args:
        output: kind of output.
        out: where programs read; stdout by default.
        err: where people read; stderr by default.
        has_progress: whether more than events will be told; a live line shows nothing else.
        has_times: whether plain lines begin with the local time of their event.
    """
    if output is Output.json:
        yield _JsonLines(out or sys.stdout)
        return
    target = console(err or sys.stderr)
    if not (has_progress and redraws(target)):
        yield _PlainLines(target, has_times=has_times)
        return
    live = _LiveLine(target)
    with live.bar:
        yield live


def redraws(target: Console) -> bool:
    """Whether a line may be drawn again: on a terminal whose user has not asked for plain text."""
    return target.is_terminal and not target.is_dumb_terminal and not target.no_color


def describe(record: AnyRecord) -> str:
    """An event on one line; empty for one that people need not see."""
    match record:
        case AttemptStarted(attempt=attempt):
            return f"attempt {attempt} begins" if attempt > 1 else ""
        case AttemptTraining():
            since = f" from step {record.first_step:,}" if record.first_step else ""
            workers = "1 worker" if record.world_size == 1 else f"{record.world_size} workers"
            return f"training{since} on {workers}, {record.device}"
        case EpochRecord():
            return _describe_epoch(record)
        case EvaluationRecord():
            return _describe_figure(record)
        case EnsembleRecord():
            return _describe_figure(record, whose=f", {len(record.members)} runs")
        case BadSampleRecord():
            return (
                f"image {record.place:,} of the {record.split} split is damaged ({record.why}) "
                "and trained on as black: `resnet-cluster data verify` finds all such images"
            )
        case SearchRecord():
            return (
                f"search for an ensemble under {record.protocol}: {len(record.chosen)} of "
                f"{len(record.candidates)} runs, {record.top1_err:.2f} % top-1 error on the "
                f"{record.num_images:,} images that judged"
            )
        case ParityRecord():
            return (
                f"parity with PIL and torchvision on {record.num_images:,} images of "
                f"{record.dataset_name}: {record.agreement:.2f} % predicted alike, top-1 error "
                f"{record.top1_err:.2f} % and {record.reference_top1_err:.2f} %"
            )
        case AttemptEnded():
            return record.state + (f": {record.message}" if record.message else "")
        case _:
            return ""


def _describe_figure(record: EvaluationRecord | EnsembleRecord, *, whose: str = "") -> str:
    errors = record.errors
    top5 = "" if errors.top5_err is None else f", top-5 {errors.top5_err:.2f} %"
    views = "single view" if record.protocol == "single" else record.protocol
    return (
        f"{record.split} error{whose}, {views}: {errors.top1_err:.2f} %{top5} "
        f"({errors.num_images:,} images)"
    )


def _describe_epoch(record: EpochRecord) -> str:
    parts = [
        f"epoch {record.epoch:>3}",
        f"step {record.step:>6,}",
        f"loss {record.train.loss:.4f}",
        f"train {record.train.top1_err:5.2f} %",
    ]
    if record.holdout:
        parts.append(f"hold-out {record.holdout.top1_err:5.2f} %")
    if record.observed_test:
        parts.append(f"test {record.observed_test.top1_err:5.2f} % (observed)")
    parts += [f"lr {record.lr:.4g}", f"{record.images_per_second:,.0f} img/s"]
    return "  ".join(parts)


class _JsonLines:
    """An object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, news: Progress | AnyRecord | str) -> None:
        if isinstance(news, Record):
            print_json(as_json(news), stream=self._stream)
        elif not isinstance(news, str):
            print_json({"kind": "progress"} | asdict(news), stream=self._stream)


class _PlainLines:
    """A line for each event, and one for a progress now and then."""

    def __init__(self, target: Console, *, has_times: bool) -> None:
        self._console, self._has_times = target, has_times
        self._last = time.monotonic()

    def tell(self, news: Progress | AnyRecord | str) -> None:
        if isinstance(news, str):
            text = news
        elif isinstance(news, Record):
            text = describe(news)
            if text and self._has_times:
                text = f"{news.at.astimezone():%Y-%m-%d %H:%M:%S}  {text}"
        elif time.monotonic() - self._last < PLAIN_LINE_EVERY_S:
            return
        else:
            text = _describe_progress(news)
        if text:
            self._last = time.monotonic()
            self._console.print(printable(text), soft_wrap=True)


class _LiveLine:
    """A line that is drawn again and again, under the lines of the events."""

    def __init__(self, target: Console) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        self.bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            # On a narrow terminal two lines, rather than one without its end.
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=False)),
            console=target,
            transient=True,
            redirect_stdout=False,  # where Ray prints meanwhile
            redirect_stderr=False,
        )
        self._task = self.bar.add_task("starting Ray and its workers", total=None)

    def tell(self, news: Progress | AnyRecord | str) -> None:
        if isinstance(news, AttemptTraining):
            self.bar.update(self._task, description="loading the first batch")
        if isinstance(news, Record | str):
            text = news if isinstance(news, str) else describe(news)
            if text:
                self.bar.console.print(printable(text), soft_wrap=True)
            return
        self.bar.update(
            self._task,
            total=news.num_steps,
            completed=news.step,
            description=_describe_progress(news),
        )


def _describe_progress(progress: Progress) -> str:
    return (
        f"epoch {progress.epoch}  step {progress.step:,}/{progress.num_steps:,}  "
        f"loss {progress.loss:.4f}  train {progress.top1_err:.2f} %  lr {progress.lr:.4g}  "
        f"{progress.images_per_second:,.0f} img/s  {duration(progress.remaining_s)} left"
    )


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


@contextlib.contextmanager
def preparing(err: TextIO | None = None) -> Iterator[Callable[[PreparationProgress], None]]:
    """A bar for the preparation of a data set; gives what is called with its progress.

    Args:
        err: where people read; stderr by default.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    target = console(err or sys.stderr)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24))
    with Progress(*columns, console=target, transient=True, disable=not redraws(target)) as bar:
        task = bar.add_task("", total=None)

        def show(progress: PreparationProgress) -> None:
            left = progress.remaining_s
            remaining = "" if left is None else f"  {duration(left)} left"
            bar.update(
                task,
                total=progress.total or None,
                completed=progress.done,
                description=printable(
                    f"{progress.stage}  {progress.done:,}/{progress.total:,}  "
                    f"{progress.rate:,.0f}/s{remaining}"
                ),
            )

        try:
            yield show
        except KeyboardInterrupt:  # typer makes an exit code of it, and no words
            note("interrupted", stream=err)
            raise
