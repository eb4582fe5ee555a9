"""What a user sees while a sweep runs: a table on a terminal, plain lines or JSON elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from resnet_cluster.cli.display import PLAIN_LINE_EVERY_S, describe, duration, redraws
from resnet_cluster.cli.output import Output, as_json, console, print_json, printable
from resnet_cluster.results import (
    AnyRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptTraining,
    EpochRecord,
    EvaluationRecord,
    Record,
)

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console
    from rich.table import Table

    from resnet_cluster.cluster.sweep_order import TellTrial
    from resnet_cluster.training import Progress

MOST_ROWS = 24
"""Of the live table: trials that run come first, then those that ended last."""


@contextlib.contextmanager
def sweep_display(
    names: Sequence[str],
    output: Output,
    *,
    out: TextIO,
    err: TextIO,
    share: float = 1.0,
    may_leave_out: bool = False,
    ended: Mapping[int, str] = MappingProxyType({}),
) -> Iterator[TellTrial]:
    """A display of the trials of those names; gives what is called with news of them.

    Args:
        names: of all trials, by place.
        output: kind of output.
        out: where programs read.
        err: where people read.
        share: of a GPU, or of a process, that a trial has for itself.
        may_leave_out: whether trials that wait may turn out not to be needed.
        ended: states of the trials that are not to be run, by place.
    """
    if output is Output.json:
        yield _JsonLines(names, out).tell
        return
    target = console(err)
    if not redraws(target):
        yield _PlainLines(names, target).tell
        return
    live = _LiveTable(names, target, share, "at most" if may_leave_out else "about", ended)
    with live.live:
        yield live.tell


class _JsonLines:
    """An object a line, with the trial that it is about."""

    def __init__(self, names: Sequence[str], stream: TextIO) -> None:
        self._names, self._stream = names, stream

    def tell(self, place: int, news: Progress | AnyRecord | str) -> None:
        if isinstance(news, str):
            return
        about = {"trial": place + 1, "name": self._names[place]}
        if isinstance(news, Record):
            print_json(about | as_json(news), stream=self._stream)
        else:
            print_json(about | {"kind": "progress"} | asdict(news), stream=self._stream)


class _PlainLines:
    """A line for each event, and one for a trial's progress now and then."""

    def __init__(self, names: Sequence[str], target: Console) -> None:
        self._names, self._console = names, target
        self._last: dict[int, float] = {}

    def tell(self, place: int, news: Progress | AnyRecord | str) -> None:
        if isinstance(news, str):
            text = news
        elif isinstance(news, Record):
            text = describe(news)
        elif time.monotonic() - self._last.get(place, 0.0) < PLAIN_LINE_EVERY_S:
            return
        else:
            text = (
                f"epoch {news.epoch}  step {news.step:,}/{news.num_steps:,}  "
                f"train {news.top1_err:.2f} %  {news.images_per_second:,.0f} img/s  "
                f"{duration(news.remaining_s)} left"
            )
        if text:
            self._last[place] = time.monotonic()
            whose = f"{self._names[place]}: " if place >= 0 else ""
            self._console.print(printable(whose + text), soft_wrap=True)


@dataclass
class Shown:
    """What the live table shows of a trial."""

    state: str = "waiting"
    epoch: str = ""
    error: str = ""
    rate: float = 0.0
    remaining_s: float | None = None
    began: float | None = None
    used_s: float = 0.0
    workers: int = 1
    share: float = 1.0
    changed: float = 0.0

    @property
    def is_running(self) -> bool:
        return self.began is not None

    def hours(self, now: float) -> float:
        """Its own of all workers, in this attempt at the sweep."""
        going = now - self.began if self.began is not None else 0.0
        return (self.used_s + going) * self.takes / 3600

    @property
    def takes(self) -> float:
        """Workers that it has for itself."""
        return self.workers * self.share


def hours_left(trials: Sequence[Shown], now: float) -> float | None:
    """Hours of workers that running and waiting trials will take; None while nothing tells.

    A trial that waits is taken for the mean of those of which it is known.
    """
    running = [trial for trial in trials if trial.is_running]
    if any(trial.remaining_s is None for trial in running):
        return None
    going = [(trial.remaining_s or 0.0) * trial.takes / 3600 for trial in running]
    whole = [trial.hours(now) + left for trial, left in zip(running, going, strict=True)]
    whole += [trial.hours(now) for trial in trials if trial.state.isupper() and trial.used_s]
    num_waiting = sum(trial.state == "waiting" for trial in trials)
    if not whole:
        return None
    return sum(going) + num_waiting * sum(whole) / len(whole)


class _LiveTable:
    """A table that is drawn again and again."""

    def __init__(
        self,
        names: Sequence[str],
        target: Console,
        share: float = 1.0,
        about: str = "about",
        ended: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        from rich.live import Live

        self._names, self._about = names, about
        self._trials = [
            Shown(state=ended.get(place, "waiting"), share=share) for place in range(len(names))
        ]
        self.live = Live(
            console=target,
            get_renderable=self._table,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,  # where Ray prints meanwhile
            redirect_stderr=False,
        )

    def tell(self, place: int, news: Progress | AnyRecord | str) -> None:
        if place < 0:
            self.live.console.print(printable(str(news)), soft_wrap=True)
            return
        shown = self._trials[place]
        shown.changed = time.monotonic()
        match news:
            case AttemptStarted():
                shown.state, shown.began = "starting", time.monotonic()
            case AttemptTraining():
                shown.state, shown.workers = "training", news.world_size
            case EpochRecord():
                shown.error = f"{news.train.top1_err:.2f} % train"
            case EvaluationRecord():
                shown.error = f"{news.errors.top1_err:.2f} % {news.split}"
            case AttemptEnded():
                self._end(shown, news)
                self._print_end(place, news)
            case str():
                self.live.console.print(printable(f"{self._names[place]}: {news}"), soft_wrap=True)
            case Record():
                pass
            case _:
                shown.epoch = str(news.epoch)
                shown.rate, shown.remaining_s = news.images_per_second, news.remaining_s

    def _end(self, shown: Shown, ended: AttemptEnded) -> None:
        shown.state, shown.remaining_s, shown.rate = ended.state.value, None, 0.0
        if shown.began is not None:
            shown.used_s += time.monotonic() - shown.began
            shown.began = None

    def _print_end(self, place: int, ended: AttemptEnded) -> None:
        error = self._trials[place].error
        text = ": ".join(filter(None, [ended.state.value, ended.message or error]))
        self.live.console.print(printable(f"{self._names[place]}  {text}"), soft_wrap=True)

    def _table(self) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), pad_edge=False)
        for heading in ("trial", "state"):
            table.add_column(heading, no_wrap=True)
        for heading in ("epoch", "error", "img/s", "left", "hours"):
            table.add_column(heading, justify="right", no_wrap=True)
        for place in self._chosen():
            shown = self._trials[place]
            left = "" if shown.remaining_s is None else duration(shown.remaining_s)
            rate = f"{shown.rate:,.0f}" if shown.rate else ""
            hours = f"{shown.hours(now):.3f}" if shown.hours(now) else ""
            cells = (self._names[place], shown.state, shown.epoch, shown.error, rate, left, hours)
            table.add_row(*(Text(printable(cell)) for cell in cells))
        table.caption = Text(self._summary(now))
        table.caption_justify = "left"
        return table

    def _chosen(self) -> list[int]:
        """Trials that run, then those that changed last, then those that wait."""
        places = range(len(self._trials))
        ranked = sorted(
            places,
            key=lambda place: (not self._trials[place].is_running, -self._trials[place].changed),
        )
        return sorted(ranked[:MOST_ROWS])

    def _summary(self, now: float) -> str:
        ended = sum(trial.state.isupper() for trial in self._trials)
        running = [trial for trial in self._trials if trial.is_running]
        used = sum(trial.hours(now) for trial in self._trials)
        text = (
            f"{ended} of {len(self._trials)} ended, {len(running)} running, {used:.3f} hours used"
        )
        left = hours_left(self._trials, now)
        if left is None or not running:
            return text
        workers = sum(trial.takes for trial in running)
        return f"{text}, {self._about} {left:.3f} left: {duration(left * 3600 / workers)}"
