"""Protocols: which views of an image are measured, and what of their scores is averaged.

A figure's protocol is named by its identity, `ten-crop-224of256-softmax`, which says all that
changes the figure: two figures with the same one were measured alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

from resnet_cluster.spec.job import Average, EvaluateSpec, JobSpec, ProtocolKind

PAD = 4
"""Zeros around a small square before its ten crops: as around the training images (section 4.2)."""


@dataclass(frozen=True)
class SingleView:
    """Each image once, as the job's `data.view` shows it."""

    identity: ClassVar[str] = "single"
    num_views: ClassVar[int] = 1


@dataclass(frozen=True)
class Centre:
    """Each image once, at another size than the job's `data.view` shows it (FixRes).

    Attributes:
        resize, size: of the shorter side, and of the centre that is kept.
    """

    resize: int
    size: int

    num_views: ClassVar[int] = 1

    @property
    def identity(self) -> str:
        """The protocol's name."""
        return f"centre-{self.size}of{self.resize}"


@dataclass(frozen=True)
class Flip:
    """Each image once and mirrored once, as the job's `data.view` shows it.

    Attributes:
        average: what is averaged over the two.
    """

    average: Average
    num_views: ClassVar[int] = 2

    @property
    def identity(self) -> str:
        """The protocol's name."""
        return f"flip-{self.average}"


@dataclass(frozen=True)
class TenCrops:
    """Corners, centre and their mirror images (section 3.4, after Krizhevsky et al. 2012).

    Attributes:
        resize, size: of the shorter side, and of each crop; `resize` is None for raw squares, which
            are padded by `PAD` instead.
        average: what is averaged over the crops.
    """

    resize: int | None
    size: int
    average: Average

    num_views: ClassVar[int] = 10

    @property
    def identity(self) -> str:
        """The protocol's name."""
        room = f"{self.size}pad{PAD}" if self.resize is None else f"{self.size}of{self.resize}"
        return f"ten-crop-{room}-{self.average}"


@dataclass(frozen=True)
class MultiScale:
    """The whole image and its mirror image at several sizes (section 3.4).

    The network is fully convolutional: its classifier is applied at each place of the last map and
    averaged over them, which for a linear one is the same as after the average.

    Attributes:
        scales: lengths of the shorter side, in pixels.
        average: what is averaged over scales and mirror images.
    """

    scales: tuple[int, ...]
    average: Average

    @property
    def views(self) -> tuple[tuple[int, bool], ...]:
        """Scale of each view, and whether it is the mirror image."""
        return tuple((scale, mirrored) for scale in self.scales for mirrored in (False, True))

    @property
    def num_views(self) -> int:
        """Views of an image."""
        return len(self.views)

    @property
    def identity(self) -> str:
        """The protocol's name."""
        return f"multi-scale-{'-'.join(map(str, self.scales))}-{self.average}"


Protocol = SingleView | Centre | Flip | TenCrops | MultiScale


def protocols(job: JobSpec, image_size: int | None) -> tuple[Protocol, ...]:
    """The protocols that a job asks for, in its order.

    Args:
        job: the job.
        image_size: side of the data set's raw squares; None where images are of many sizes.
    """
    return tuple(
        build_protocol(kind, job.evaluate, job, image_size) for kind in job.evaluate.protocols
    )


def build_protocol(
    kind: ProtocolKind, evaluate: EvaluateSpec, job: JobSpec, image_size: int | None
) -> Protocol:
    """A protocol, as it measures the network of a job.

    Args:
        kind: which one.
        evaluate: its scales, and what it averages.
        job: what the network was trained with.
        image_size: side of the data set's raw squares; None where images are of many sizes.
    """
    assert kind in get_args(ProtocolKind)
    if kind == "single":
        return SingleView()
    if kind == "centre":
        assert evaluate.centre is not None
        return Centre(evaluate.centre.resize, evaluate.centre.size)
    if kind == "flip":
        return Flip(evaluate.average)
    if kind == "multi-scale":
        return MultiScale(evaluate.scales, evaluate.average)
    view = job.data.view
    if view is not None:
        return TenCrops(view.resize, view.size, evaluate.average)
    assert image_size is not None, "the plan refuses images of many sizes without a view"
    return TenCrops(None, image_size, evaluate.average)
