"""Our figures: each with its identity, and those of the same identity together in a cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnet_cluster.report.comparability import differences, trained_steps
from resnet_cluster.report.experiments import Experiment, experiment_of
from resnet_cluster.report.published import Published
from resnet_cluster.report.statistics import Spread, spread
from resnet_cluster.results import EvaluationRecord, RunSummary
from resnet_cluster.spec import ModelSpec, recipe_hash


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What two figures must share to stand in one cell."""

    model: ModelSpec
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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A figure of a run, or the run alone where it has none yet."""

    run: RunSummary
    evaluation: EvaluationRecord | None
    identity: Identity | None
    differs: tuple[str, ...]
    """What keeps it from the published figure; empty where they can be compared."""

    @property
    def top1_err(self) -> float | None:
        """Error in percent."""
        return self.evaluation.errors.top1_err if self.evaluation else None

    @property
    def experiment(self) -> Experiment | None:
        """The paper's on the same data set."""
        return experiment_of(self.run.dataset)

    @property
    def published(self) -> Published | None:
        """The paper's figure for the same; None unless the two can be compared."""
        if self.differs or self.evaluation is None or self.experiment is None:
            return None
        protocol = self.experiment.protocols[self.evaluation.protocol]
        rows = self.experiment.rows_of(self.run.job.model)
        return next(row for row in rows if row.protocol == protocol)

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
        errors = [figure.evaluation.errors.top5_err for figure in self.figures if figure.evaluation]
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


def measured(runs: Iterable[RunSummary]) -> tuple[Measured, ...]:
    """Every figure of the runs, in their order; a run without one stands for itself."""
    return tuple(
        _measured(run, evaluation) for run in runs for evaluation in run.evaluations or (None,)
    )


def cells(figures: Sequence[Measured]) -> dict[Identity, Cell]:
    """Figures by identity. Of several with one seed the newest counts: they are not two draws."""
    groups: dict[Identity, dict[int, Measured]] = defaultdict(dict)
    for figure in sorted(figures, key=lambda figure: figure.run.created_at):
        if figure.identity is not None:
            groups[figure.identity][figure.run.job.seed] = figure
    return {identity: _cell(tuple(by_seed.values())) for identity, by_seed in groups.items()}


def _measured(run: RunSummary, evaluation: EvaluationRecord | None) -> Measured:
    return Measured(
        run=run,
        evaluation=evaluation,
        identity=_identity(run, evaluation) if evaluation else None,
        differs=differences(run, evaluation) if evaluation else ("not evaluated",),
    )


def _identity(run: RunSummary, evaluation: EvaluationRecord) -> Identity:
    return Identity(
        model=run.job.model,
        dataset_sha256=run.dataset.sha256,
        encoding=run.dataset.encoding,
        num_train_images=run.dataset.num_train_images,
        split=evaluation.split,
        protocol=evaluation.protocol,
        ema=evaluation.ema,
        select=evaluation.select,
        trained_steps=trained_steps(run, evaluation),
        recipe_hash=recipe_hash(run.job),
        training_semantics=run.record.versions.get("training-semantics", ""),
        imported_weights=run.record.imported.weights_sha256 if run.record.imported else "",
    )


def _cell(figures: tuple[Measured, ...]) -> Cell:
    errors = [figure.top1_err for figure in figures if figure.top1_err is not None]
    assert len(errors) == len(figures)
    return Cell(figures=figures, spread=spread(errors))


def _points(ours: float, published: float | None) -> float | None:
    return None if published is None else round(ours - published, 4)
