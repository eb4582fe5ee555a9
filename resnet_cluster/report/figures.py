"""The paper's figures as data: which of our runs draw them, and what is said of it.

All curves of a figure are of one course: one data set, recipe and length; only the networks differ
(and the warm-up that the deepest need). Where there are runs of several courses, that which has
most of the figure's networks is drawn, the newest of equals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.report.comparability import course_of, differences
from resnet_cluster.report.experiments import CIFAR10
from resnet_cluster.report.naming import model_name, papers_net, shortcut_of
from resnet_cluster.report.paper_figures import BOTH, FIGURES, RESPONSES, Net, PaperFigure
from resnet_cluster.results import EpochRecord, ResponsesRecord, RunState, RunSummary


@dataclass(frozen=True, kw_only=True)
class Curve:
    """An error in percent after numbers of iterations, or a deviation of each layer."""

    net: str
    split: str
    x: tuple[int, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with our curves in it."""

    number: int
    title: str
    panels: tuple[tuple[Curve, ...], ...]
    x_labels: tuple[str, ...]
    """Of each panel."""
    y_labels: tuple[str, ...]
    is_cut: bool
    """Whether the beginning of the curves may lie above the axis, as in the paper's."""
    note: str
    """Of which runs, and what differs from the paper's."""


class Details(Protocol):
    """What a store tells of one run more than its summary."""

    def epochs(self, run_id: str) -> Sequence[EpochRecord]:
        """The finished epochs of a run."""

    def responses(self, run_id: str) -> Sequence[ResponsesRecord]:
        """The analyses of its layers, that of most images last."""


def build_figure(number: int, runs: Sequence[RunSummary], details: Details) -> Figure:
    """A figure of the paper with the curves of our runs.

    Args:
        number: the paper's.
        runs: all runs, the oldest first.
        details: tells more of them: the store.

    Raises:
        UsageError: there is no such figure.
        PreflightError: no run has a curve of it.
    """
    if number == RESPONSES.number:
        return _responses_figure(runs, details)
    if number not in FIGURES:
        known = ", ".join(map(str, [*FIGURES, RESPONSES.number]))
        raise UsageError(f"there is no Figure {number} to draw", mend=f"figures so far: {known}")
    paper = FIGURES[number]
    chosen = _chosen(paper, runs)
    if not chosen:
        raise PreflightError(
            f"no run has a curve of Figure {number}",
            mend=f"train one of its networks on {paper.experiment.dataset}, such as with "
            f"`{_example(paper)}`",
        )
    found = {net: tuple(details.epochs(run.run_id)) for net, run in chosen.items()}
    panels = tuple(
        tuple(
            _curve(chosen[net], found[net], split)
            for net in nets
            if net in chosen
            for split in splits
        )
        for nets, splits in zip(paper.panels, paper.splits, strict=True)
    )
    return Figure(
        number=number,
        title=paper.title,
        panels=panels,
        x_labels=("iterations",) * len(panels),
        y_labels=tuple(_Y_LABELS[splits] for splits in paper.splits),
        is_cut=True,
        note=_note(paper, chosen),
    )


_Y_LABELS = {
    ("train",): "training error, %",
    ("test",): "test error, %",
    BOTH: "error (dashed: training; bold: test), %",
}


def drawable(runs: Sequence[RunSummary], details: Details) -> tuple[int, ...]:
    """Numbers of the figures that the runs have a curve of."""
    curves = [number for number, paper in FIGURES.items() if _chosen(paper, runs)]
    return (*curves, *([RESPONSES.number] if _analyzed(runs, details) else ()))


def _responses_figure(runs: Sequence[RunSummary], details: Details) -> Figure:
    """In the original order of the layers, and sorted; measured on as many images each."""
    chosen = _analyzed(runs, details)
    if not chosen:
        raise PreflightError(
            f"no run has been analyzed for Figure {RESPONSES.number}, which is of networks on "
            f"{RESPONSES.experiment.dataset}",
            mend="measure the layers of finished runs on it with `resnet-cluster analyze ID`",
        )
    stds = {
        model_name(run.job.model): [layer.std for layer in details.responses(run.run_id)[-1].layers]
        for run in chosen.values()
    }
    panels = (stds, {name: sorted(own, reverse=True) for name, own in stds.items()})
    return Figure(
        number=RESPONSES.number,
        title=RESPONSES.title,
        panels=tuple(
            tuple(
                Curve(net=name, split="test", x=tuple(range(1, len(own) + 1)), y=tuple(own))
                for name, own in panel.items()
            )
            for panel in panels
        ),
        x_labels=("layer", "layer, sorted by its deviation"),
        y_labels=("deviation of the responses",) * 2,
        is_cut=False,
        note=_note(RESPONSES, chosen),
    )


def _analyzed(runs: Sequence[RunSummary], details: Details) -> dict[Net, RunSummary]:
    """Of the analyzed runs those that share a course and the number of images."""
    nets = {net for panel in RESPONSES.panels for net in panel}
    counts: dict[int, list[RunSummary]] = defaultdict(list)
    for run in runs:
        if any(_is(run, net, RESPONSES) for net in nets):
            for record in details.responses(run.run_id)[-1:]:
                counts[record.num_images].append(run)
    found = [_chosen(RESPONSES, same) for same in counts.values()]
    return max(found, key=len, default={})


def _chosen(paper: PaperFigure, runs: Sequence[RunSummary]) -> dict[Net, RunSummary]:
    """The run of each network, all of one course; of several the newest that has succeeded."""
    nets = dict.fromkeys(net for panel in paper.panels for net in panel)
    courses: dict[Hashable, dict[Net, RunSummary]] = defaultdict(dict)
    for run in sorted(runs, key=lambda run: run.state is RunState.SUCCEEDED):
        net = next((net for net in nets if _is(run, net, paper)), None)
        if net is not None and run.epochs_done and paper.experiment.holds(run.dataset):
            courses[course_of(run)][net] = run
    newest = max(
        courses.values(),
        key=lambda course: (len(course), max(run.created_at for run in course.values())),
        default={},
    )
    return {net: newest[net] for net in nets if net in newest}


def _is(run: RunSummary, net: Net, paper: PaperFigure) -> bool:
    return papers_net(run.job.model) == (paper.experiment.family, *net)


def _curve(run: RunSummary, epochs: Sequence[EpochRecord], split: str) -> Curve:
    measured = [
        (epoch.step, errors.top1_err)
        for epoch in epochs
        if (errors := epoch.train if split == "train" else epoch.observed_test)
    ]
    return Curve(
        net=model_name(run.job.model),
        split=split,
        x=tuple(step for step, _ in measured),
        y=tuple(error for _, error in measured),
    )


def _note(paper: PaperFigure, chosen: dict[Net, RunSummary]) -> str:
    """The data set; what all curves differ in from the paper's; the networks that are missing."""
    runs = list(chosen.values())
    parts = [f"{runs[0].dataset.name}, our runs"]
    # Of one course all differ alike, but that the paper's tables have no plain nets.
    residual = [run for run in runs if shortcut_of(run.job.model) != "none"]
    words = differences((residual or runs)[-1], None)
    parts += [difference for difference in words if "no plain" not in difference]
    nets = {net for panel in paper.panels for net in panel}
    if missing := len(nets - chosen.keys()):
        parts.append(f"{missing} of {len(nets)} networks not trained so")
    return "; ".join(parts)


def _example(paper: PaperFigure) -> str:
    depth, shortcut = paper.panels[0][0]
    file = "cifar10_r20" if paper.experiment is CIFAR10 else "imagenet_r50_paper"
    words = f"resnet-cluster submit jobs/{file}.yaml --set model.shortcut={shortcut}"
    return words if depth == 20 else f"{words} --set model.depth={depth}"
