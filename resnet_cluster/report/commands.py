"""The commands that fill empty cells."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from resnet_cluster.report.comparability import differences
from resnet_cluster.report.experiments import CIFAR10, Experiment
from resnet_cluster.report.naming import arch_of, depth_of, shortcut_of
from resnet_cluster.report.published import Protocol, Published
from resnet_cluster.results import AnyRun, DatasetFacts, Setup
from resnet_cluster.spec import Shortcut

_PREPARATIONS = {"CIFAR-10": "cifar10", "ImageNet": "/data/imagenet"}
_OTHERS = {"vgg16": "imagenet_vgg16"}
"""Shipped jobs of networks that are not the paper's, but that its authors tested themselves (Table
3's caption says so of VGG-16), by their names in torchvision."""
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
    runs: Sequence[AnyRun]
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
        if published.arch in _OTHERS:
            return self._other(_OTHERS[published.arch], published)
        if published.depth is None:
            return ""
        if trained := self._trained(published):
            return measuring(trained, published.protocol)
        job, name = _shipped(published.depth, published.shortcut, self.experiment)
        # A name that another experiment has is refused.
        own = set(map(id, self._like(published)))
        name = free_name(name, {r.name for r in self.runs if r.name != name or id(r) not in own})
        return self._submit(job, published.depth, published.shortcut, name)

    def training(self, depth: int, shortcut: Shortcut, *, mark: str, words: Sequence[str]) -> str:
        """What trains a network of the paper's anew.

        Args:
            depth: of the network.
            shortcut: of the network.
            mark: end of the run's name.
            words: more of the command line.
        """
        job, name = _shipped(depth, shortcut, self.experiment)
        name = free_name(name + mark, {run.name for run in self.runs})
        return self._submit(job, depth, shortcut, name, words)

    def _other(self, job: str, published: Published) -> str:
        """Of a network that is not the paper's own: our figure stands beneath its authors'."""
        own = [run for run in self.runs if arch_of(run.setup.job.model) == published.arch]
        own = [run for run in own if self.experiment.holds(run.setup.dataset) and run.has_weights]
        figures = (figure.protocol for run in own for figure in run.evaluations)
        if published.protocol in map(self.experiment.protocols.get, figures):
            return ""
        if own:
            return measuring(own[-1], published.protocol)
        name = free_name(job, {run.name for run in self.runs})
        return self._words(job, [], name)

    def _trained(self, published: Published) -> AnyRun | None:
        """A run like the paper's that lacks but the figure."""
        return next((run for run in self._like(published) if run.has_weights), None)

    def _like(self, published: Published) -> list[AnyRun]:
        return self._papers.get((published.depth, published.shortcut), [])

    @cached_property
    def _papers(self) -> dict[tuple[int | None, str | None], list[AnyRun]]:
        """Runs like the paper's, by depth and shortcut."""
        papers: dict[tuple[int | None, str | None], list[AnyRun]] = defaultdict(list)
        is_papers: dict[Setup, bool] = {}
        for run in self.runs:
            model = run.setup.job.model
            if run.setup not in is_papers:
                is_like = model.family == self.experiment.family and not differences(run, None)
                is_papers[run.setup] = is_like
            if is_papers[run.setup]:
                papers[depth_of(model), shortcut_of(model)].append(run)
        return papers

    def _submit(
        self,
        job: _ShippedJob,
        depth: int,
        shortcut: Shortcut | None,
        name: str,
        more: Sequence[str] = (),
    ) -> str:
        words: list[str] = []
        for key, value in job.changes(depth, shortcut):
            words += ["--set", f"{key}={value}"]
        return self._words(job.file, [*words, *more], name)

    def _words(self, file: str, words: Sequence[str], name: str) -> str:
        """The command that submits a shipped job, on the data set that is there."""
        data, _ = self._data_set()
        if data != _USUAL_NAMES[self.experiment.dataset]:
            words = [*words, "--data", data]
        if name != file:
            words = [*words, "--name", name]
        return shlex.join(["resnet-cluster", "submit", f"jobs/{file}.yaml", *words])

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
    shortcut: Shortcut

    def changes(self, depth: int, shortcut: Shortcut | None) -> Iterator[tuple[str, object]]:
        """Keys that another net changes."""
        if depth != self.depth:
            yield "model.depth", depth
        if shortcut != self.shortcut:
            yield "model.shortcut", shortcut


def _shipped(
    depth: int, shortcut: Shortcut | None, experiment: Experiment
) -> tuple[_ShippedJob, str]:
    """The job to start from, and the run's usual name."""
    net = f"plain{depth}" if shortcut == "none" else f"r{depth}"
    if experiment is CIFAR10:
        shipped = 110 if depth >= CIFAR10.fewest_warmed_layers else 20
        return _ShippedJob(f"cifar10_r{shipped}", shipped, "A"), f"cifar10_{net}"
    option = (shortcut or "").lower() if shortcut != "none" and depth < 50 else ""
    return _ShippedJob("imagenet_r50_paper", 50, "B"), f"imagenet_{net}{option}_paper"


def measuring(run: AnyRun, protocol: Protocol) -> str:
    """What measures a trained run under a protocol of the paper's."""
    name = "ten-crop" if protocol == "10-crop" else protocol
    return shlex.join(["resnet-cluster", "evaluate", run.run_id, "--protocol", name])
