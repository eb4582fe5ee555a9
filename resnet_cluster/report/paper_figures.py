"""Which networks the paper's figures have, panel by panel."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_cluster.report.experiments import CIFAR10, IMAGENET, Experiment

Net = tuple[int, str]
"""Depth and shortcut; section 4.2 and Figure 4 have option A."""


@dataclass(frozen=True, kw_only=True)
class PaperFigure:
    """A figure of the paper: its panels, and the networks in each."""

    number: int
    title: str
    experiment: Experiment
    panels: tuple[tuple[Net, ...], ...]
    splits: tuple[tuple[str, ...], ...]
    """What each panel shows of its networks: `train`, `test`, or both."""


def _plain(*depths: int) -> tuple[Net, ...]:
    return tuple((depth, "none") for depth in depths)


def _residual(*depths: int) -> tuple[Net, ...]:
    return tuple((depth, "A") for depth in depths)


BOTH = ("train", "test")
FIGURES = {
    1: PaperFigure(
        number=1,
        title="Figure 1: plain nets on CIFAR-10",
        experiment=CIFAR10,
        panels=(_plain(20, 56), _plain(20, 56)),
        splits=(("train",), ("test",)),
    ),
    4: PaperFigure(
        number=4,
        title="Figure 4: plain and residual nets on ImageNet",
        experiment=IMAGENET,
        panels=(_plain(18, 34), _residual(18, 34)),
        splits=(BOTH, BOTH),
    ),
    6: PaperFigure(
        number=6,
        title="Figure 6: plain and residual nets on CIFAR-10",
        experiment=CIFAR10,
        panels=(_plain(20, 32, 44, 56), _residual(20, 32, 44, 56, 110), _residual(110, 1202)),
        splits=(BOTH, BOTH, BOTH),
    ),
}


RESPONSES = PaperFigure(
    number=7,
    title="Figure 7: deviation of the layers' responses, on CIFAR-10",
    experiment=CIFAR10,
    panels=(_plain(20, 56) + _residual(20, 56, 110),) * 2,
    splits=(("test",), ("test",)),
)
