"""What the paper claims of its networks, as data: each claim in parts that runs can settle.

A part is a number that some trainings tell (an error, or a difference of two nets' errors) and the
open interval in which it lies if the claim is true. Where the paper is not precise, the reading is
ours, and stands beside the part.

Source: He, Zhang, Ren, Sun; CVPR 2016: sections 4.1 and 4.2, Tables 2 to 6, footnote 3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from resnet_cluster.report.experiments import CIFAR10, IMAGENET, Experiment
from resnet_cluster.report.published import Protocol
from resnet_cluster.spec import Shortcut

ABOVE_ZERO = (0.0, math.inf)

ALIKE = 0.5
"""Points of error within which two nets end alike. Ours: the paper's differ by 0.06."""

HEALTHY_DECADES = 3.0
"""Powers of ten between a healthy net's largest and smallest signal. Ours: the paper has none."""


class Measure(StrEnum):
    """What a training tells. Errors are top-1, in percent."""

    TEST_ERROR = "test error"
    LAST_TRAINING_ERROR = "last training error"
    """Over the last epoch's augmented images, while the weights moved."""
    MEAN_TRAINING_ERROR = "mean training error"
    """Of all epochs: our reading of an error that is higher throughout, and of converging later."""
    RESPONSE = "mean deviation of responses"
    FORWARD = "weakest over strongest forward signal, in decades"
    GRADIENT = "weakest over strongest gradient, in decades"


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network of the paper, on one of its data sets."""

    experiment: Experiment
    depth: int
    shortcut: Shortcut
    times: int = 1
    """Length of its training, in those of the paper."""

    @property
    def name(self) -> str:
        """`plain-34`, `ResNet-34 A`, `ResNet-56`, `plain-34 3x`."""
        is_basic_imagenet = self.experiment is IMAGENET and self.depth < 50
        option = f" {self.shortcut}" if is_basic_imagenet and self.shortcut != "none" else ""
        kind = "plain" if self.shortcut == "none" else "ResNet"
        return f"{kind}-{self.depth}{option}" + (f" {self.times}x" if self.times != 1 else "")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something of a claim that trainings settle.

    Attributes:
        measure: what is compared.
        of: the net whose value it is.
        less: the net whose value is subtracted; None where the value stands alone.
        region: open interval in which the number lies if the claim is true.
        beside_published: whether the region is a published figure's, so that runs count which
            stand beside the paper's figures only.
    """

    measure: Measure
    of: Net
    less: Net | None = None
    region: tuple[float, float] = ABOVE_ZERO
    beside_published: bool = False

    @property
    def nets(self) -> tuple[Net, ...]:
        """Those that must be trained."""
        return (self.of,) if self.less is None else (self.of, self.less)

    @property
    def protocol(self) -> Protocol:
        """Of test errors: that of the paper's comparisons."""
        return "single" if self.of.experiment is CIFAR10 else "10-crop"

    @property
    def published(self) -> float | None:
        """What the paper's figures give; None where it has none. Of means where it has them."""
        errors = [self._published(net) for net in self.nets]
        if None in errors:
            return None
        first, *rest = (error for error in errors if error is not None)
        return round(first - sum(rest), 2)

    def _published(self, net: Net) -> float | None:
        if self.measure is not Measure.TEST_ERROR:
            return None
        for row in net.experiment.rows:
            if (row.depth, row.shortcut, row.protocol) == (net.depth, net.shortcut, self.protocol):
                return row.top1_err if row.mean_top1_err is None else row.mean_top1_err
        return None


@dataclass(frozen=True, kw_only=True)
class Count:
    """Something of a claim that no training tells: what a net has or costs beside another.

    Attributes:
        says: in words.
        ours: counted on our network.
        theirs: the published figure.
    """

    says: str
    ours: float
    theirs: float


@dataclass(frozen=True, kw_only=True)
class Unanswerable:
    """Something of a claim that runs cannot settle, and why."""

    says: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper: true if all its parts are."""

    number: int
    says: str
    parts: tuple[Part | Count | Unanswerable, ...]


def _imagenet(depth: int, shortcut: Shortcut, *, times: int = 1) -> Net:
    return Net(experiment=IMAGENET, depth=depth, shortcut=shortcut, times=times)


def _cifar(depth: int, shortcut: Shortcut = "A") -> Net:
    return Net(experiment=CIFAR10, depth=depth, shortcut=shortcut)


def _falls(*nets: Net) -> Iterator[Part]:
    """Each has a lower test error than the one before."""
    for worse, better in itertools.pairwise(nets):
        yield Part(measure=Measure.TEST_ERROR, of=worse, less=better)


PLAIN_18, PLAIN_34 = _imagenet(18, "none"), _imagenet(34, "none")
RESNET_18, RESNET_34 = _imagenet(18, "A"), _imagenet(34, "A")
RESNET_34_B, RESNET_34_C = _imagenet(34, "B"), _imagenet(34, "C")
PLAIN_20, PLAIN_56 = _cifar(20, "none"), _cifar(56, "none")
RESNET_20, RESNET_56, RESNET_110, RESNET_1202 = map(_cifar, (20, 56, 110, 1202))

RESNET_152_FLOPS = 11_282_415_616
"""Multiply-adds of the convolutions and the classifier (variant v1, B, 224x224 pixels)."""
RESNET_110_PARAMETERS = 1_727_962
"""With option A and ten classes."""

CLAIMS = (
    Claim(
        number=1,
        says="Degradation: the deeper plain net has the higher training error, throughout.",
        parts=tuple(
            Part(measure=measure, of=deeper, less=shallower)
            for deeper, shallower in ((PLAIN_34, PLAIN_18), (PLAIN_56, PLAIN_20))
            for measure in (Measure.LAST_TRAINING_ERROR, Measure.MEAN_TRAINING_ERROR)
        ),
    ),
    Claim(
        number=2,
        says="Residual learning reverses it: ResNet-34 beats ResNet-18, in training too.",
        parts=(
            Part(measure=Measure.TEST_ERROR, of=RESNET_18, less=RESNET_34),
            Part(measure=Measure.LAST_TRAINING_ERROR, of=RESNET_18, less=RESNET_34),
        ),
    ),
    Claim(
        number=3,
        says="ResNet-34 beats plain-34.",
        parts=(Part(measure=Measure.TEST_ERROR, of=PLAIN_34, less=RESNET_34),),
    ),
    Claim(
        number=4,
        says="ResNet-18 and plain-18 end alike, but ResNet-18 converges faster.",
        parts=(
            Part(measure=Measure.TEST_ERROR, of=PLAIN_18, less=RESNET_18, region=(-ALIKE, ALIKE)),
            Part(measure=Measure.MEAN_TRAINING_ERROR, of=PLAIN_18, less=RESNET_18),
        ),
    ),
    Claim(
        number=5,
        says="C is slightly better than B, and B than A; all three beat the plain net.",
        parts=(
            *_falls(RESNET_34, RESNET_34_B, RESNET_34_C),
            *(
                Part(measure=Measure.TEST_ERROR, of=PLAIN_34, less=net)
                for net in (RESNET_34, RESNET_34_B, RESNET_34_C)
            ),
        ),
    ),
    Claim(
        number=6,
        says="On ImageNet the error falls with depth from 34 to 152 layers.",
        parts=tuple(_falls(RESNET_34_B, *(_imagenet(depth, "B") for depth in (50, 101, 152)))),
    ),
    Claim(
        number=7,
        says="On CIFAR-10 it falls from 20 to 110 layers; 1202 train below 0.1 %, and are worse.",
        parts=(
            *_falls(RESNET_20, _cifar(32), _cifar(44), RESNET_56, RESNET_110),
            Part(measure=Measure.LAST_TRAINING_ERROR, of=RESNET_1202, region=(-math.inf, 0.1)),
            Part(measure=Measure.TEST_ERROR, of=RESNET_1202, less=RESNET_110),
        ),
    ),
    Claim(
        number=8,
        says="ResNets respond less than plain nets, and the deeper the less.",
        parts=tuple(
            Part(measure=Measure.RESPONSE, of=stronger, less=weaker)
            for stronger, weaker in (
                (PLAIN_20, RESNET_20),
                (PLAIN_56, RESNET_56),
                (RESNET_20, RESNET_56),
                (RESNET_56, RESNET_110),
            )
        ),
    ),
    Claim(
        number=9,
        says="Forward signals and gradients of plain nets have healthy norms.",
        parts=tuple(
            Part(measure=measure, of=net, region=(-HEALTHY_DECADES, math.inf))
            for net in (PLAIN_34, PLAIN_56)
            for measure in (Measure.FORWARD, Measure.GRADIENT)
        ),
    ),
    Claim(
        number=10,
        says="Three times the iterations do not cure the degradation.",
        parts=(
            Part(
                measure=Measure.LAST_TRAINING_ERROR,
                of=_imagenet(34, "none", times=3),
                less=_imagenet(18, "none", times=3),
            ),
        ),
    ),
    Claim(
        number=11,
        says="ResNet-152 costs less than VGG-16 and VGG-19.",
        parts=tuple(
            Count(
                says=f"{name} \N{MINUS SIGN} ResNet-152, multiply-adds",
                ours=RESNET_152_FLOPS,
                theirs=flops,
            )
            for name, flops in (("VGG-16", 15.3e9), ("VGG-19", 19.6e9))
        ),
    ),
    Claim(
        number=12,
        says="ResNet-110 has fewer parameters than FitNet and Highway-19, and a lower error.",
        parts=(
            Count(
                says="FitNet \N{MINUS SIGN} ResNet-110, parameters",
                ours=RESNET_110_PARAMETERS,
                theirs=2.5e6,
            ),
            Count(
                says="Highway-19 \N{MINUS SIGN} ResNet-110, parameters",
                ours=RESNET_110_PARAMETERS,
                theirs=2.3e6,
            ),
            *(
                Part(
                    measure=Measure.TEST_ERROR,
                    of=RESNET_110,
                    region=(-math.inf, theirs),
                    beside_published=True,
                )
                for theirs in (8.39, 7.54)  # FitNet's; the best of Highway's
            ),
        ),
    ),
    Claim(
        number=13,
        says="A single ResNet-152 beats all earlier ensembles.",
        parts=(
            Unanswerable(
                says="top-5 error of ResNet-152 and of ensembles",
                why="the ensembles' errors are the test server's, and no error on validation "
                "images can be taken from them",
            ),
        ),
    ),
)
