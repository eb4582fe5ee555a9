"""Our figures: each with its identity, and those of the same identity together in a cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

from resnet_cluster.report.comparability import differences, trained_steps
from resnet_cluster.report.experiments import Experiment, experiment_of
from resnet_cluster.report.published import Published
from resnet_cluster.report.statistics import Spread, spread
from resnet_cluster.results import AnyFigure, AnyRun, RunSummary, Setup
from resnet_cluster.spec import recipe_hash


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What two figures must share to stand in one cell."""

    model: str
    """Its spec as JSON: of options, 1 and true are equal values and no equal networks."""
    dataset_sha256: str
    encoding: str
    num_train_images: int
    split: str
    protocol: str
    ema: bool
    select: str
    trained_steps: int
    recipe_hash: str
    """Covers the batch-normalisation group too."""
    training_semantics: str
    """What the same recipe meant in the version that trained it."""
    imported_weights: str
    """Hash of weights that were trained elsewhere; empty for our own, which the rest describes."""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Thousands of figures share an identity, each of many parts."""
        return hash(tuple(getattr(self, field.name) for field in fields(self)))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is said of every figure of a setup that was measured alike."""

    identity: Identity | None
    """None for runs without a figure."""
    experiment: Experiment | None
    """The paper's on the same data set."""
    differs: tuple[str, ...]
    """What keeps them from the published figure; empty where they can be compared."""
    published: Published | None
    """The paper's figure for the same; None unless they can be compared."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A figure of a run, or the run alone where it has none yet."""

    run: AnyRun
    evaluation: AnyFigure | None
    standing: Standing

    @property
    def summary(self) -> RunSummary:
        """All that is known of the run, for a report that tells of single runs."""
        assert isinstance(self.run, RunSummary), "a report on outlines tells of no single run"
        return self.run

    @property
    def top1_err(self) -> float | None:
        """Error in percent."""
        return self.evaluation.top1_err if self.evaluation else None

    @property
    def identity(self) -> Identity | None:
        """None for a run without a figure."""
        return self.standing.identity

    @property
    def experiment(self) -> Experiment | None:
        """The paper's on the same data set."""
        return self.standing.experiment

    @property
    def differs(self) -> tuple[str, ...]:
        """What keeps it from the published figure; empty where they can be compared."""
        return self.standing.differs

    @property
    def published(self) -> Published | None:
        """The paper's figure for the same; None unless the two can be compared."""
        return self.standing.published

    @property
    def difference(self) -> float | None:
        """Our error less the published one, in percentage points."""
        if self.published is None or self.top1_err is None:
            return None
        return _points(self.top1_err, self.published.top1_err)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Figures of one identity, one for each seed."""

    figures: tuple[Measured, ...]
    spread: Spread

    @property
    def differs(self) -> tuple[str, ...]:
        """What keeps it from the published figure."""
        return self.figures[0].differs

    @property
    def top5_err(self) -> float | None:
        """Mean of the top-5 errors."""
        errors = [figure.evaluation.top5_err for figure in self.figures if figure.evaluation]
        known = [error for error in errors if error is not None]
        return sum(known) / len(known) if known else None

    @property
    def difference(self) -> float | None:
        """Ours less the published one: of means where there are several, for a best of n flatters.

        A published figure without a mean stands for its own.
        """
        published = self.figures[0].published
        if published is None:
            return None
        if self.spread.n == 1 or published.mean_top1_err is None:
            return _points(self.spread.mean, published.top1_err)
        return _points(self.spread.mean, published.mean_top1_err)


def measured(runs: Iterable[AnyRun]) -> tuple[Measured, ...]:
    """Every figure of the runs, in their order; a run without one stands for itself."""
    standings: dict[tuple[object, ...], Standing] = {}
    found = []
    for run in runs:
        for evaluation in run.evaluations or (None,):
            alike = (run.setup, *_how(evaluation)) if evaluation else (run.setup,)
            if (standing := standings.get(alike)) is None:
                standing = standings[alike] = _standing(run, evaluation)
            found.append(Measured(run=run, evaluation=evaluation, standing=standing))
    return tuple(found)


def cells(figures: Iterable[Measured]) -> dict[Identity, Cell]:
    """Figures by identity, where those of the oldest run come first.

    Of several with one seed the newest counts: they are not two draws.
    """
    groups: dict[Identity, dict[int, Measured]] = defaultdict(dict)
    for figure in figures:
        if (identity := figure.standing.identity) is not None:
            groups[identity][figure.run.seed] = figure
    return {identity: _cell(tuple(by_seed.values())) for identity, by_seed in groups.items()}


def _how(evaluation: AnyFigure) -> tuple[object, ...]:
    """What was measured of which weights."""
    return (
        evaluation.protocol,
        evaluation.split,
        evaluation.select,
        evaluation.ema,
        evaluation.step,
    )


def _standing(run: AnyRun, evaluation: AnyFigure | None) -> Standing:
    experiment = experiment_of(run.setup.dataset)
    if evaluation is None:
        differs: tuple[str, ...] = ("not evaluated",)
        return Standing(identity=None, experiment=experiment, differs=differs, published=None)
    differs = differences(run, evaluation)
    published = None
    if experiment and not differs:
        protocol = experiment.protocols[evaluation.protocol]
        rows = experiment.rows_of(run.setup.job.model)
        published = next(row for row in rows if row.protocol == protocol)
    identity = _identity(run.setup, evaluation)
    return Standing(identity=identity, experiment=experiment, differs=differs, published=published)


def _identity(setup: Setup, evaluation: AnyFigure) -> Identity:
    return Identity(
        model=setup.job.model.model_dump_json(),
        dataset_sha256=setup.dataset.sha256,
        encoding=setup.dataset.encoding,
        num_train_images=setup.dataset.num_train_images,
        split=evaluation.split,
        protocol=evaluation.protocol,
        ema=evaluation.ema,
        select=evaluation.select,
        trained_steps=trained_steps(setup, evaluation),
        recipe_hash=recipe_hash(setup.job),
        training_semantics=setup.training_semantics,
        imported_weights=setup.imported_weights,
    )


def _cell(figures: tuple[Measured, ...]) -> Cell:
    errors = [figure.top1_err for figure in figures if figure.top1_err is not None]
    assert len(errors) == len(figures)
    return Cell(figures=figures, spread=spread(errors))


def _points(ours: float, published: float | None) -> float | None:
    return None if published is None else round(ours - published, 4)
