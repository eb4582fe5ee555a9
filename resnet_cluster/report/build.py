"""The report: our runs, and the paper's tables with our figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from resnet_cluster.report.claim_commands import Plan, plan_evidence
from resnet_cluster.report.ensembles import other_ensembles
from resnet_cluster.report.evidence import Evidence, MoreDetails
from resnet_cluster.report.experiments import IMAGENET
from resnet_cluster.report.listing import Listed, listed
from resnet_cluster.report.measured import Cell, Identity, Measured, cells, measured
from resnet_cluster.report.rows import Sources, Table
from resnet_cluster.report.tables import TITLES, build_table
from resnet_cluster.report.verdicts import Judged, judge
from resnet_cluster.results import AnyRun, DatasetFacts, EnsembleRecord, RunSummary, UsesOfTestSet


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `report` prints, in any format."""

    figures: tuple[Measured, ...]
    """Our figures, the oldest run first; a run without one is there too."""
    tables: tuple[Table, ...]
    with_runs: bool
    """Whether our runs are listed on their own."""
    uses: tuple[UsesOfTestSet, ...] = ()
    """Of the test sets that our figures are of."""
    images: tuple[str, ...] = ()
    """SVG elements of the paper's figures with our curves, for formats that show them."""
    claims: tuple[Judged, ...] = ()
    """The paper's claims, in a report that is of them alone."""
    plan: Plan = field(default_factory=Plan)
    """What those that are open need."""

    @cached_property
    def cells(self) -> Mapping[Identity, Cell]:
        """The same figures by identity."""
        return cells(self.figures)

    @cached_property
    def listed(self) -> tuple[Listed, ...]:
        """Our runs as lines, that of the newest run last."""
        return listed(self.figures, self.cells)

    def cell(self, figure: Measured) -> Cell | None:
        """The figures of the same identity as one of ours; None for a run without a figure."""
        return self.cells[figure.identity] if figure.identity else None


def build_report(
    runs: Sequence[AnyRun],
    *,
    table: int | None = None,
    prepared: Sequence[DatasetFacts] | None = None,
    uses: Sequence[UsesOfTestSet] = (),
    ensembles: Sequence[EnsembleRecord] = (),
) -> Report:
    """The report on `runs`.

    Args:
        runs: all runs of the store, the oldest first; outlines will do for formats that do not
            tell of single runs.
        table: number of the one table of the paper that is wanted; None for the runs, and each
            table on whose data set there is one.
        prepared: the data sets that commands may name; None takes those of the runs.
        uses: of the test sets.
        ensembles: figures of several runs together.

    Raises:
        UsageError: no table of that number can be filled yet.
    """
    figures = measured(runs)
    known = [run.setup.dataset for run in runs] if prepared is None else prepared
    sources = Sources(figures=figures, runs=runs, prepared=known, ensembles=ensembles)
    numbers = _wanted(figures) if table is None else (table,)
    tables = tuple(build_table(number, sources) for number in numbers)
    if table is None and (others := other_ensembles(sources)):
        tables = (others, *tables)
    if table is not None:
        shown = set(map(id, tables[0].figures))  # of thousands, each a large value to compare
        figures = tuple(figure for figure in figures if id(figure) in shown)
    shown_sets = {figure.run.setup.dataset.sha256 for figure in figures if figure.evaluation}
    return Report(
        figures=figures,
        tables=tables,
        with_runs=table is None,
        uses=tuple(use for use in uses if use.dataset_sha256 in shown_sets),
    )


def build_claims(
    runs: Sequence[RunSummary], details: MoreDetails, *, prepared: Sequence[DatasetFacts]
) -> Report:
    """The report on the paper's claims; its figures are those of the runs that are evidence.

    Args:
        runs: all runs of the store, the oldest first.
        details: tells more of them: the store.
        prepared: the data sets that commands may name.
    """
    evidence = Evidence(runs, details)
    judged = judge(evidence)
    used = {
        one.run_id
        for claim in judged
        for finding in claim.findings
        for sample in finding.samples
        for one in sample
    }
    return Report(
        figures=measured(run for run in runs if run.run_id in used),
        tables=(),
        with_runs=False,
        claims=judged,
        plan=plan_evidence(judged, evidence, runs, prepared),
    )


def _wanted(figures: Sequence[Measured]) -> tuple[int, ...]:
    """All tables where there is a run on ImageNet; without one, the table of CIFAR-10."""
    has_imagenet = any(figure.experiment is IMAGENET for figure in figures)
    return tuple(TITLES) if has_imagenet else (6,)
