"""Figures as texts, the same in every format that people read."""

from __future__ import annotations

import math
from collections.abc import Iterable

from resnet_cluster.report.comparability import trained_steps
from resnet_cluster.report.measured import Cell, Measured
from resnet_cluster.report.rows import Row
from resnet_cluster.results import UsesOfTestSet

NOTHING = "\N{EN DASH}"


def error_text(error: float | None) -> str:
    """`8.61`."""
    return NOTHING if error is None else f"{error:.2f}"


def difference_text(points: float | None) -> str:
    """`-0.14`, `+0.39`."""
    # Adding zero takes the sign off a zero.
    return NOTHING if points is None else f"{round(points, 2) + 0.0:+.2f}"


def published_text(row: Row, *, top5: bool = False) -> str:
    """`6.43 (6.61±0.16)`; with the top-5 error `22.85 / 6.71`; multiply-adds `3.8e9`."""
    published = row.published
    if row.flops:
        return f"{row.flops[0] / 1e9:.1f}e9"
    if published is None:
        return ""
    text = _best_and_mean(published.top1_err, published.mean_top1_err, published.std_top1_err)
    return f"{text} / {error_text(published.top5_err)}" if top5 else text


def ours_text(row: Row, *, top5: bool = False) -> str:
    """`8.61 (8.75±0.12)`; without the mean for a single seed; a dash where a command fills it."""
    if row.flops and row.flops[1] is not None:
        return f"{row.flops[1] / 1e9:.2f}e9"
    if row.ensemble:
        errors = row.ensemble.errors
        return f"{error_text(errors.top1_err)} / {error_text(errors.top5_err)}"
    if row.cell is None:
        return NOTHING if row.command else ""
    text = cell_text(row.cell)
    return f"{text} / {error_text(row.cell.top5_err)}" if top5 else text


def cell_text(cell: Cell | None) -> str:
    """`8.61 (8.75±0.12)`; without the mean for a single seed; a dash for no figure."""
    if cell is None:
        return NOTHING
    mean = cell.spread.mean if cell.spread.n > 1 else None
    return _best_and_mean(cell.spread.best, mean, cell.spread.std)


def epochs_text(figure: Measured) -> str:
    """Epochs done of those planned: `2/164`; a dash for weights that were trained elsewhere."""
    setup = figure.run.setup
    if setup.imported_weights:
        return NOTHING
    planned = math.ceil(setup.num_steps / setup.steps_per_epoch)
    if figure.evaluation is None:
        return f"{figure.run.epochs_done}/{planned}"
    trained = trained_steps(setup, figure.evaluation)
    return f"{math.ceil(trained / setup.steps_per_epoch)}/{planned}"


def differs_text(differs: Iterable[str]) -> str:
    """`2 of 164 epochs; JPEG copy`."""
    return "; ".join(differs)


def row_note(row: Row) -> str:
    """What is to be said of our figure in a row of a table; empty where that is nothing."""
    if row.apart:
        return f"kept apart from the figure above: {differs_text(row.apart)}"
    if row.ensemble:
        return f"{len(row.ensemble.members)} runs, {row.ensemble.protocol}"
    return figure_note(row.cell.differs) if row.cell else ""


def figure_note(differs: Iterable[str]) -> str:
    """`not compared: 2 of 164 epochs; JPEG copy`; empty where nothing differs."""
    words = differs_text(differs)
    return f"not compared: {words}" if words else ""


def run_note(figure: Measured) -> str:
    """`ten-crop-32pad4-softmax; not compared: data set digits, not CIFAR-10`; empty of nothing.

    The protocol is named where it is not the single view; a shortened training, where no length of
    the paper's stands beside it.
    """
    if figure.evaluation is None:
        return ""
    protocol, job = figure.evaluation.protocol, figure.run.setup.job
    is_shortened = job.train.shortened_from and figure.experiment is None
    parts = (
        "" if protocol == "single" else protocol,
        f"shortened from {job.train.shortened_from}" if is_shortened else "",
        figure_note(figure.differs),
    )
    return "; ".join(filter(None, parts))


def uses_text(uses: UsesOfTestSet) -> str:
    """`The test images of digits have been used 11 times, with 2 runs begun: 1 figure, ...`."""
    kinds = (
        (uses.num_figures, "figure"),
        (uses.num_observed, "error observed while training"),
        (uses.num_ensembles, "ensemble"),
        (uses.num_comparisons, "comparison of pixels"),
        (uses.num_searches, "search for an ensemble"),
    )
    parts = [_numbered(number, kind) for number, kind in kinds if number]
    return (
        f"The test images of {uses.name} have been used {_numbered(uses.total, 'time')}, with "
        f"{_numbered(uses.num_runs, 'run')} begun: {', '.join(parts)}."
    )


def _numbered(number: int, noun: str) -> str:
    first, _, rest = noun.partition(" ")
    plural = f"{first}{'es' if first.endswith('ch') else 's'} {rest}".rstrip()
    return f"{number:,} {noun if number == 1 else plural}"


def _best_and_mean(best: float | None, mean: float | None, std: float | None) -> str:
    if mean is None or std is None:
        return error_text(best)
    return f"{error_text(best)} ({mean:.2f}±{std:.2f})"
