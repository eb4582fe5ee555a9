"""The figures of the paper's Tables 1 to 6, as data (He, Zhang, Ren, Sun; CVPR 2016).

Errors are percentages. A figure is only comparable with another of the same split and protocol:
those from the ImageNet test server stand beside no validation figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dataset = Literal["ImageNet", "CIFAR-10"]
Split = Literal["validation", "test", "test server"]
Protocol = Literal["single", "10-crop", "multi-scale", "ensemble", "as its authors report"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A column of Table 1."""

    depth: int
    block: Literal["basic", "bottleneck"]
    num_blocks: tuple[int, int, int, int]
    """Blocks of conv2_x to conv5_x."""
    widths: tuple[tuple[int, ...], ...]
    """Filters of the block's layers in each of those."""
    flops: float
    """Multiply-adds of one image."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of Tables 2 to 6."""

    table: int
    model: str
    """As the paper prints it."""
    dataset: Dataset
    split: Split
    protocol: Protocol
    top1_err: float | None = None
    top5_err: float | None = None
    mean_top1_err: float | None = None
    std_top1_err: float | None = None
    """Whether of the sample or the population is not stated."""
    num_runs: int | None = None
    """Runs behind the best and the mean, where stated."""
    layers: int | None = None
    num_parameters: str = ""
    """As printed, `0.27M`."""
    depth: int | None = None
    """Depth of our network of the same kind; None where we have none."""
    shortcut: Literal["none", "A", "B", "C"] | None = None
    arch: str = ""
    """torchvision's name of a network that is not the paper's own; its figure is of weights and of
    a recipe that are its authors'."""


_BASIC = ((64, 64), (128, 128), (256, 256), (512, 512))
_BOTTLENECK = ((64, 64, 256), (128, 128, 512), (256, 256, 1024), (512, 512, 2048))

TABLE_1 = (
    Architecture(depth=18, block="basic", num_blocks=(2, 2, 2, 2), widths=_BASIC, flops=1.8e9),
    Architecture(depth=34, block="basic", num_blocks=(3, 4, 6, 3), widths=_BASIC, flops=3.6e9),
    Architecture(
        depth=50, block="bottleneck", num_blocks=(3, 4, 6, 3), widths=_BOTTLENECK, flops=3.8e9
    ),
    Architecture(
        depth=101, block="bottleneck", num_blocks=(3, 4, 23, 3), widths=_BOTTLENECK, flops=7.6e9
    ),
    Architecture(
        depth=152, block="bottleneck", num_blocks=(3, 8, 36, 3), widths=_BOTTLENECK, flops=11.3e9
    ),
)


def _ten_crop(
    table: int,
    model: str,
    top1_err: float | None,
    top5_err: float | None = None,
    *,
    depth: int | None = None,
    shortcut: Literal["none", "A", "B", "C"] | None = None,
    arch: str = "",
) -> Published:
    return Published(
        table=table,
        model=model,
        dataset="ImageNet",
        split="validation",
        protocol="10-crop",
        top1_err=top1_err,
        top5_err=top5_err,
        layers=depth,
        depth=depth,
        shortcut=shortcut,
        arch=arch,
    )


TABLE_2 = (
    _ten_crop(2, "plain-18", 27.94, depth=18, shortcut="none"),
    _ten_crop(2, "ResNet-18", 27.88, depth=18, shortcut="A"),
    _ten_crop(2, "plain-34", 28.54, depth=34, shortcut="none"),
    _ten_crop(2, "ResNet-34", 25.03, depth=34, shortcut="A"),
)

TABLE_3 = (
    _ten_crop(3, "VGG-16", 28.07, 9.33, arch="vgg16"),
    _ten_crop(3, "GoogLeNet", None, 9.15, arch="googlenet"),
    _ten_crop(3, "PReLU-net", 24.27, 7.38),
    _ten_crop(3, "plain-34", 28.54, 10.02, depth=34, shortcut="none"),
    _ten_crop(3, "ResNet-34 A", 25.03, 7.76, depth=34, shortcut="A"),
    _ten_crop(3, "ResNet-34 B", 24.52, 7.46, depth=34, shortcut="B"),
    _ten_crop(3, "ResNet-34 C", 24.19, 7.40, depth=34, shortcut="C"),
    _ten_crop(3, "ResNet-50", 22.85, 6.71, depth=50, shortcut="B"),
    _ten_crop(3, "ResNet-101", 21.75, 6.05, depth=101, shortcut="B"),
    _ten_crop(3, "ResNet-152", 21.43, 5.71, depth=152, shortcut="B"),
)


def _single_model(
    model: str,
    top1_err: float | None,
    top5_err: float,
    *,
    depth: int | None = None,
    shortcut: Literal["B", "C"] | None = None,
    split: Split = "validation",
) -> Published:
    return Published(
        table=4,
        model=model,
        dataset="ImageNet",
        split=split,
        protocol="multi-scale" if depth else "as its authors report",
        top1_err=top1_err,
        top5_err=top5_err,
        layers=depth,
        depth=depth,
        shortcut=shortcut,
    )


TABLE_4 = (
    _single_model("VGG (ILSVRC'14)", None, 8.43, split="test server"),
    _single_model("GoogLeNet (ILSVRC'14)", None, 7.89),
    _single_model("VGG (v5)", 24.4, 7.1),
    _single_model("PReLU-net", 21.59, 5.71),
    _single_model("BN-inception", 21.99, 5.81),
    _single_model("ResNet-34 B", 21.84, 5.71, depth=34, shortcut="B"),
    _single_model("ResNet-34 C", 21.53, 5.60, depth=34, shortcut="C"),
    _single_model("ResNet-50", 20.74, 5.25, depth=50, shortcut="B"),
    _single_model("ResNet-101", 19.87, 4.60, depth=101, shortcut="B"),
    _single_model("ResNet-152", 19.38, 4.49, depth=152, shortcut="B"),
)


def _ensemble(model: str, top5_err: float) -> Published:
    return Published(
        table=5,
        model=model,
        dataset="ImageNet",
        split="test server",
        protocol="ensemble",
        top5_err=top5_err,
    )


TABLE_5 = (
    _ensemble("VGG (ILSVRC'14)", 7.32),
    _ensemble("GoogLeNet (ILSVRC'14)", 6.66),
    _ensemble("VGG (v5)", 6.8),
    _ensemble("PReLU-net", 4.94),
    _ensemble("BN-inception", 4.82),
    _ensemble("ResNet (ILSVRC'15)", 3.57),
)


def _cifar(
    model: str,
    top1_err: float,
    *,
    layers: int | None = None,
    num_parameters: str = "",
    mean_and_std: tuple[float, float] | None = None,
    num_runs: int | None = None,
) -> Published:
    is_residual = model.startswith("ResNet-")
    mean, std = mean_and_std or (None, None)
    return Published(
        table=6,
        model=model,
        dataset="CIFAR-10",
        split="test",
        protocol="single" if is_residual else "as its authors report",
        top1_err=top1_err,
        mean_top1_err=mean,
        std_top1_err=std,
        num_runs=num_runs,
        layers=layers,
        num_parameters=num_parameters,
        depth=layers if is_residual else None,
        shortcut="A" if is_residual else None,
    )


TABLE_6 = (
    _cifar("Maxout", 9.38),
    _cifar("NIN", 8.81),
    _cifar("DSN", 8.22),
    _cifar("FitNet", 8.39, layers=19, num_parameters="2.5M"),
    _cifar("Highway", 7.54, layers=19, num_parameters="2.3M", mean_and_std=(7.72, 0.16)),
    _cifar("Highway", 8.80, layers=32, num_parameters="1.25M"),
    _cifar("ResNet-20", 8.75, layers=20, num_parameters="0.27M"),
    _cifar("ResNet-32", 7.51, layers=32, num_parameters="0.46M"),
    _cifar("ResNet-44", 7.17, layers=44, num_parameters="0.66M"),
    _cifar("ResNet-56", 6.97, layers=56, num_parameters="0.85M"),
    _cifar(
        "ResNet-110",
        6.43,
        layers=110,
        num_parameters="1.7M",
        mean_and_std=(6.61, 0.16),
        num_runs=5,
    ),
    _cifar("ResNet-1202", 7.93, layers=1202, num_parameters="19.4M"),
)

PUBLISHED = {2: TABLE_2, 3: TABLE_3, 4: TABLE_4, 5: TABLE_5, 6: TABLE_6}
"""The rows of each table of errors, by its number."""
