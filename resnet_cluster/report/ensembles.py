"""Table 5: ensembles. The paper's figures are the test server's, and no difference is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnet_cluster.report.experiments import IMAGENET
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.published import TABLE_5, Published
from resnet_cluster.report.rows import Row, Sources, Table
from resnet_cluster.results import AnyRun, EnsembleRecord

TITLE = "Table 5: top-1 / top-5 error of ensembles on ImageNet, in %"


def ensembles_table(sources: Sources) -> Table:
    """The paper's are of the test server; ours, of validation images, are never taken from them."""
    ours = [
        _row(record, members, "")
        for record, members in _with_members(sources)
        if IMAGENET.holds(members[0].setup.dataset)
    ]
    note = (
        "The published errors are the test server's. Ours are of the validation images, and are "
        "not compared with them."
    )
    rows = (*map(_published_row, TABLE_5), *ours)
    return Table(number=5, title=TITLE, rows=rows, preparation="", notes=(note,))


def other_ensembles(sources: Sources) -> Table | None:
    """Those on data sets of which the paper has no ensembles; None where there are none."""
    ours = [
        _row(record, members, f" on {members[0].setup.dataset.name}")
        for record, members in _with_members(sources)
        if not IMAGENET.holds(members[0].setup.dataset)
    ]
    if not ours:
        return None
    title = "Ensembles: top-1 / top-5 error, in %"
    return Table(number=0, title=title, rows=tuple(ours), preparation="", notes=())


def _with_members(sources: Sources) -> Iterator[tuple[EnsembleRecord, list[AnyRun]]]:
    """Each ensemble whose runs are there; they are on one data set."""
    runs = {run.run_id: run for run in sources.runs}
    for record in sources.ensembles:
        if all(run_id in runs for run_id in record.members):
            yield record, [runs[run_id] for run_id in record.members]


def _published_row(published: Published) -> Row:
    return Row(
        model=published.model, layers=None, num_parameters="", published=published, cell=None
    )


def _row(record: EnsembleRecord, members: Sequence[AnyRun], where: str) -> Row:
    """Ours: named by the networks in it."""
    names = [model_name(run.setup.job.model) for run in members]
    counts = {name: names.count(name) for name in names}
    parts = [f"{number} x {name}" if number > 1 else name for name, number in counts.items()]
    num_imported = sum(bool(run.setup.imported_weights) for run in members)
    origin = f", {num_imported} trained elsewhere" if num_imported else ""
    return Row(
        model=" + ".join(parts) + where + origin,
        layers=None,
        num_parameters="",
        published=None,
        cell=None,
        ensemble=record,
    )
