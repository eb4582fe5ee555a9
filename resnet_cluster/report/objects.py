"""A report as flat objects: what JSON and CSV carry."""

from __future__ import annotations

from typing import Any

from resnet_cluster.report.build import Report
from resnet_cluster.report.measured import Measured
from resnet_cluster.report.naming import depth_of, model_name, shortcut_of
from resnet_cluster.report.rows import Row
from resnet_cluster.results import EnsembleRecord

SCHEMA_VERSION = 1
"""Within a version keys are only added."""


def objects(report: Report) -> list[dict[str, Any]]:
    """One object for each of our figures, for each run without one, and for each ensemble.

    `published_top1_err` and `difference` are null where the two cannot be compared, and `differs`
    says why. `n`, `seeds` and the statistics are those of all figures of the same identity. An
    ensemble's object has `members`, the ids of its runs, and lacks what a run alone has.
    """
    own = [
        _of_run(figure) | _of_figure(figure) | _of_cell(report, figure) | _of_uses(report, figure)
        for figure in report.figures
    ]
    rows = (row for table in report.tables for row in table.rows)
    return own + [_of_ensemble(row, row.ensemble) for row in rows if row.ensemble]


def unfilled(row: Row) -> dict[str, Any]:
    """An object with the same keys for a row of the paper that no figure of ours fills."""
    published = row.published
    assert published is not None
    return {
        "model": published.model,
        "depth": published.layers,
        "dataset": published.dataset,
        "num_parameters": row.num_parameters,
        "protocol": published.protocol,
        "split": published.split,
        "published_top1_err": published.top1_err,
        "published_top5_err": published.top5_err,
        "command": row.command,
    }


def _of_ensemble(row: Row, ensemble: EnsembleRecord) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "members": list(ensemble.members),
        "model": row.model,
        "protocol": ensemble.protocol,
        "split": ensemble.split,
        "select": ensemble.select,
        "top1_err": ensemble.errors.top1_err,
        "top5_err": ensemble.errors.top5_err,
        "n": len(ensemble.members),
    }


def _of_run(figure: Measured) -> dict[str, Any]:
    run = figure.summary
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "name": run.name,
        "key": run.key,
        "state": run.state.value,
        "model": model_name(run.job.model),
        "depth": depth_of(run.job.model),
        "shortcut": shortcut_of(run.job.model),
        "num_parameters": run.record.num_parameters,
        "flops": run.record.flops,
        "dataset": run.dataset.name,
        "dataset_sha256": run.dataset.sha256,
        "encoding": run.dataset.encoding,
        "num_train_images": run.dataset.num_train_images,
        "seed": run.job.seed,
        "epochs_done": run.epochs_done,
        "shortened_from": run.job.train.shortened_from,
        "imported_from": run.record.imported and run.record.imported.file,
        "git_commit": run.record.git_commit,
        "run_command": run.record.command,
    }


def _of_figure(figure: Measured) -> dict[str, Any]:
    evaluation, published = figure.evaluation, figure.published
    return {
        "protocol": evaluation and evaluation.protocol,
        "split": evaluation and evaluation.split,
        "select": evaluation and evaluation.select,
        "ema": evaluation and evaluation.ema,
        "step": evaluation and evaluation.step,
        "top1_err": figure.top1_err,
        "top5_err": evaluation and evaluation.top5_err,
        "table": published and published.table,
        "published_top1_err": published and published.top1_err,
        "published_top5_err": published and published.top5_err,
        "difference": figure.difference,
        "differs": list(figure.differs),
    }


def _of_uses(report: Report, figure: Measured) -> dict[str, Any]:
    sha256 = figure.run.setup.dataset.sha256
    totals = [uses.total for uses in report.uses if uses.dataset_sha256 == sha256]
    return {"test_set_uses": totals[0] if totals else None}


def _of_cell(report: Report, figure: Measured) -> dict[str, Any]:
    cell = report.cell(figure)
    return {
        "n": cell.spread.n if cell else 0,
        "seeds": sorted(one.run.seed for one in cell.figures) if cell else [],
        "best_top1_err": cell and cell.spread.best,
        "mean_top1_err": cell and cell.spread.mean,
        "std_top1_err": cell and cell.spread.std,
    }
