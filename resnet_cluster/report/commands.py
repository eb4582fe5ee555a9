"""The commands that fill empty cells."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from resnet_cluster.report.comparability import differences
from resnet_cluster.report.experiments import CIFAR10, Experiment
from resnet_cluster.report.published import Published
from resnet_cluster.results import DatasetFacts, RunState, RunSummary

_PREPARATIONS = {"CIFAR-10": "cifar10", "ImageNet": "/data/imagenet"}
_USUAL_NAMES = {"CIFAR-10": "cifar10", "ImageNet": "imagenet"}
"""Of the data set, as the shipped jobs call it."""


@dataclass(frozen=True, kw_only=True)
class Filling:
    """How an experiment's cells are filled on this machine.

    Args:
        experiment: the experiment.
        runs: all runs: commands avoid their names, and measure those that are there.
        prepared: the data sets that are there: commands name one of them, or avoid its name.
    """

    experiment: Experiment
    runs: Sequence[RunSummary]
    prepared: Sequence[DatasetFacts]

    @property
    def preparation(self) -> str:
        """What prepares the data set; empty where one is prepared."""
        name, is_prepared = self._data_set()
        if is_prepared:
            return ""
        source = _PREPARATIONS[self.experiment.dataset]
        return shlex.join(["resnet-cluster", "data", "prepare", source, "--as", name])

    def command(self, published: Published) -> str:
        """What fills the cell beside a published figure; empty where we have no such network."""
        if published.depth is None:
            return ""
        if trained := self._trained(published):
            words = ["evaluate", trained.run_id, "--protocol", _protocol(published)]
            return shlex.join(["resnet-cluster", *words])
        return shlex.join(["resnet-cluster", "submit", *self._job(published)])

    def _trained(self, published: Published) -> RunSummary | None:
        """A run like the paper's that lacks but the figure."""
        return next((run for run in self._like(published) if _has_weights(run)), None)

    def _like(self, published: Published) -> list[RunSummary]:
        return self._papers.get((published.depth, published.shortcut), [])

    @cached_property
    def _papers(self) -> dict[tuple[int | None, str | None], list[RunSummary]]:
        """Runs like the paper's, by depth and shortcut."""
        papers: dict[tuple[int | None, str | None], list[RunSummary]] = defaultdict(list)
        for run in self.runs:
            if run.job.model.family == self.experiment.family and not differences(run, None):
                papers[run.job.model.depth, run.job.model.shortcut].append(run)
        return papers

    def _job(self, published: Published) -> list[str]:
        job, usual = _shipped(published, self.experiment)
        words = [f"jobs/{job.file}.yaml"]
        for key, value in job.changes(published):
            words += ["--set", f"{key}={value}"]
        data, _ = self._data_set()
        if data != _USUAL_NAMES[self.experiment.dataset]:
            words += ["--data", data]
        # A name that another experiment has is refused.
        own = set(map(id, self._like(published)))
        name = free_name(usual, {r.name for r in self.runs if r.name != usual or id(r) not in own})
        return words if name == job.file else [*words, "--name", name]

    def _data_set(self) -> tuple[str, bool]:
        """Name for the paper's data set, and whether it is prepared."""
        usual = _USUAL_NAMES[self.experiment.dataset]
        is_paper = {each.name: self.experiment.is_original(each) for each in self.prepared}
        if originals := [name for name in is_paper if is_paper[name]]:
            return (usual if usual in originals else originals[-1]), True
        return free_name(usual, is_paper), False


def free_name(usual: str, taken: Collection[str]) -> str:
    """A name that is not taken."""
    name, number = usual, 1
    while name in taken:
        number += 1
        name = f"{usual}-{number}"
    return name


@dataclass(frozen=True)
class _ShippedJob:
    """A job file, and the net that it trains as it stands."""

    file: str
    depth: int
    shortcut: str

    def changes(self, published: Published) -> Iterator[tuple[str, object]]:
        """Keys that another net changes."""
        if published.depth != self.depth:
            yield "model.depth", published.depth
        if published.shortcut != self.shortcut:
            yield "model.shortcut", published.shortcut


def _shipped(published: Published, experiment: Experiment) -> tuple[_ShippedJob, str]:
    """The job to start from, and the run's usual name."""
    depth, shortcut = published.depth, published.shortcut
    assert depth is not None
    if experiment is CIFAR10:
        shipped = 110 if depth >= CIFAR10.fewest_warmed_layers else 20
        return _ShippedJob(f"cifar10_r{shipped}", shipped, "A"), f"cifar10_r{depth}"
    net = f"plain{depth}" if shortcut == "none" else f"r{depth}"
    option = (shortcut or "").lower() if shortcut != "none" and depth < 50 else ""
    return _ShippedJob("imagenet_r50_paper", 50, "B"), f"imagenet_{net}{option}_paper"


def _protocol(published: Published) -> str:
    return "ten-crop" if published.protocol == "10-crop" else published.protocol


def _has_weights(run: RunSummary) -> bool:
    return run.state is RunState.SUCCEEDED and any(a.name == "weights" for a in run.artefacts)
