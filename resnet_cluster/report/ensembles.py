"""Table 5: ensembles. The paper's figures are the test server's, and no difference is taken."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_cluster.report.experiments import IMAGENET
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.published import TABLE_5, Published
from resnet_cluster.report.rows import Row, Sources, Table
from resnet_cluster.results import EnsembleRecord, RunSummary

TITLE = "Table 5: top-1 / top-5 error of ensembles on ImageNet, in %"


def ensembles_table(sources: Sources) -> Table:
    """The paper's are of the test server; ours, of validation images, are never taken from them."""
    runs = {run.run_id: run for run in sources.runs}
    rows = [_published_row(published) for published in TABLE_5]
    for record in sources.ensembles:
        members = [runs[run_id] for run_id in record.members if run_id in runs]
        if members and all(IMAGENET.holds(run.dataset) for run in members):
            rows.append(_ensemble_row(record, members))
    note = (
        "The published errors are the test server's. Ours are of the validation images, and are "
        "not compared with them."
    )
    return Table(number=5, title=TITLE, rows=tuple(rows), preparation="", notes=(note,))


def _published_row(published: Published) -> Row:
    return Row(
        model=published.model, layers=None, num_parameters="", published=published, cell=None
    )


def _ensemble_row(record: EnsembleRecord, members: Sequence[RunSummary]) -> Row:
    """Ours: named by the networks in it."""
    names = [model_name(run.job.model) for run in members]
    counts = {name: names.count(name) for name in names}
    parts = [f"{number} x {name}" if number > 1 else name for name, number in counts.items()]
    return Row(
        model=" + ".join(parts),
        layers=None,
        num_parameters="",
        published=None,
        cell=None,
        ensemble=record,
    )
