"""Our runs as lines: the seeds of an experiment are one, and so is a run without a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnet_cluster.report.measured import Cell, Identity, Measured


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A line of the list of runs.

    Attributes:
        figures: of one identity, a seed each, the oldest run's first; or a run without a figure.
        cell: the figures together; None where there is none.
    """

    figures: tuple[Measured, ...]
    cell: Cell | None

    @property
    def first(self) -> Measured:
        """The figure of the oldest run, which says of the line what its runs share."""
        return self.figures[0]

    @property
    def name(self) -> str:
        """`cifar10_r20`; of three runs `cifar10_r20 +2`."""
        more = len(self.figures) - 1
        return f"{self.first.run.name} +{more}" if more else self.first.run.name

    @property
    def states(self) -> str:
        """`SUCCEEDED`; of runs that have not ended alike `SUCCEEDED, FAILED`."""
        return ", ".join(dict.fromkeys(figure.run.state.value for figure in self.figures))


def listed(figures: Sequence[Measured], cells: Mapping[Identity, Cell]) -> tuple[Listed, ...]:
    """All lines, in the order of their newest runs.

    Args:
        figures: of all runs, the oldest first.
        cells: the same by identity. Of runs with one seed they have the newest alone.
    """
    return tuple(reversed(tuple(_newest_first(figures, cells))))


def _newest_first(figures: Sequence[Measured], cells: Mapping[Identity, Cell]) -> Iterator[Listed]:
    seen: set[Identity] = set()
    for figure in reversed(figures):
        identity = figure.identity
        if identity is None:
            yield Listed(figures=(figure,), cell=None)
        elif identity not in seen:
            seen.add(identity)
            yield Listed(figures=cells[identity].figures, cell=cells[identity])
