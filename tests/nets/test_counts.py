"""Parameters and FLOPs against a count by hand, torchvision's published figures and the paper's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torchvision import models

from resnet_cluster.errors import UsageError
from resnet_cluster.nets import NetFacts, build_net, count_flops, describe_model, num_parameters
from resnet_cluster.spec import PaperNetSpec


class Convs(NamedTuple):
    """`num` equal convolutions, each with batch normalisation."""

    num: int
    kernel: int
    c_in: int
    c_out: int
    size: int

    @property
    def parameters(self) -> int:
        return self.num * (self.kernel**2 * self.c_in * self.c_out + 2 * self.c_out)

    @property
    def multiply_adds(self) -> int:
        return self.num * self.kernel**2 * self.c_in * self.c_out * self.size**2


def basic_stage(n: int, c_in: int, c: int, size: int, stride: int, shortcut: str) -> list[Convs]:
    rises = stride > 1
    return [
        Convs(1, 3, c_in, c, size),
        Convs(2 * n - 1, 3, c, c, size),
        Convs(int(shortcut == "C" or (shortcut == "B" and rises)), 1, c_in, c, size),
        Convs((n - 1) * (shortcut == "C"), 1, c, c, size),
    ]


def bottleneck_stage(
    n: int, c_in: int, c: int, size: int, stride: int, shortcut: str, variant: str
) -> list[Convs]:
    reduced_size = size * stride if variant == "v1.5" else size
    return [
        Convs(1, 1, c_in, c, reduced_size),
        Convs(n - 1, 1, 4 * c, c, size),
        Convs(n, 3, c, c, size),
        Convs(n, 1, c, 4 * c, size),
        Convs(int(shortcut in "BC"), 1, c_in, 4 * c, size),
        Convs((n - 1) * (shortcut == "C"), 1, 4 * c, 4 * c, size),
    ]


def cifar_convs(depth: int, shortcut: str) -> Iterator[Convs]:
    n = (depth - 2) // 6
    yield Convs(1, 3, 3, 16, 32)
    yield from basic_stage(n, 16, 16, 32, 1, shortcut)
    yield from basic_stage(n, 16, 32, 16, 2, shortcut)
    yield from basic_stage(n, 32, 64, 8, 2, shortcut)


def imagenet_convs(depth: int, shortcut: str, variant: str) -> Iterator[Convs]:
    blocks = {
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
    }[depth]
    yield Convs(1, 7, 3, 64, 112)
    c_in = 64
    for n, c, size, stride in zip(
        blocks, (64, 128, 256, 512), (56, 28, 14, 7), (1, 2, 2, 2), strict=True
    ):
        if depth < 50:
            yield from basic_stage(n, c_in, c, size, stride, shortcut)
            c_in = c
        else:
            yield from bottleneck_stage(n, c_in, c, size, stride, shortcut, variant)
            c_in = 4 * c


def facts(convs: Iterator[Convs], features: int, num_classes: int) -> NetFacts:
    listed = list(convs)
    return NetFacts(
        num_parameters=sum(c.parameters for c in listed) + (features + 1) * num_classes,
        flops=sum(c.multiply_adds for c in listed) + features * num_classes,
    )


def describe_cifar(depth: int, shortcut: Any, num_classes: int = 10) -> NetFacts:
    model = PaperNetSpec(family="cifar", depth=depth, shortcut=shortcut)
    return describe_model(model, num_classes=num_classes, sizes=(32,))


def describe_imagenet(depth: int, shortcut: Any, variant: Any = "v1") -> NetFacts:
    model = PaperNetSpec(family="imagenet", depth=depth, shortcut=shortcut, variant=variant)
    return describe_model(model, num_classes=1000, sizes=(224,))


@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize("depth", [8, 14, 20, 32, 44, 56, 110])
def test_cifar_net_as_counted_by_hand(depth: int, shortcut: str) -> None:
    assert describe_cifar(depth, shortcut) == facts(cifar_convs(depth, shortcut), 64, 10)


def test_cifar_1202_as_counted_by_hand() -> None:
    described = describe_cifar(1202, "A")
    assert described == facts(cifar_convs(1202, "A"), 64, 10)
    assert round(described.num_parameters / 1e6, 1) == 19.4  # Table 6


@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize(
    ("depth", "variant"),
    [(18, "v1"), (34, "v1")] + [(depth, v) for depth in (50, 101, 152) for v in ("v1", "v1.5")],
)
def test_imagenet_net_as_counted_by_hand(depth: int, shortcut: str, variant: str) -> None:
    features = 512 if depth < 50 else 2048
    expected = facts(imagenet_convs(depth, shortcut, variant), features, 1000)
    assert describe_imagenet(depth, shortcut, variant) == expected


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_imagenet_net_as_torchvision_publishes(depth: int) -> None:
    published = models.get_model_weights(f"resnet{depth}").IMAGENET1K_V1.meta
    ours = describe_imagenet(depth, "B", "v1.5" if depth >= 50 else "v1")
    assert ours.num_parameters == published["num_params"]
    assert ours.flops / 1e9 == pytest.approx(published["_ops"], abs=0.0006)


@pytest.mark.parametrize(
    ("depth", "millions", "digits"),
    [(20, 0.27, 2), (32, 0.46, 2), (44, 0.66, 2), (56, 0.85, 2), (110, 1.7, 1)],
)
def test_parameters_of_table_6(depth: int, millions: float, digits: int) -> None:
    assert round(describe_cifar(depth, "A").num_parameters / 1e6, digits) == millions


@pytest.mark.parametrize(
    ("depth", "shortcut", "billions"),
    [(18, "A", 1.8), (34, "A", 3.6), (50, "B", 3.8), (101, "B", 7.6), (152, "B", 11.3)],
)
def test_flops_of_table_1(depth: int, shortcut: str, billions: float) -> None:
    # Table 1 rounds some of its figures and cuts others (3.86 became 3.8, 11.28 became 11.3).
    assert describe_imagenet(depth, shortcut).flops / 1e9 == pytest.approx(billions, abs=0.06)


@pytest.mark.parametrize(
    ("depth", "shortcut", "billions"),
    [(34, "A", 3.64), (34, "B", 3.66), (34, "C", 3.83), (50, "B", 3.86), (152, "B", 11.28)],
)
def test_flops_to_two_digits(depth: int, shortcut: str, billions: float) -> None:
    assert round(describe_imagenet(depth, shortcut).flops / 1e9, 2) == billions


def test_num_classes_widens_the_classifier_alone() -> None:
    ten, hundred = describe_cifar(20, "A", 10), describe_cifar(20, "A", 100)
    assert hundred.num_parameters - ten.num_parameters == 90 * 65
    assert hundred.flops - ten.flops == 90 * 64


def test_flops_of_an_odd_image() -> None:
    # 33 -> 17 (stem) -> 9 (pool) -> 9, 5, 3, 2: halves round up.
    model = PaperNetSpec(family="imagenet", depth=18, shortcut="A")
    facts = describe_model(model, num_classes=7, sizes=(33,))
    stages = [(64, 64, 9), (64, 128, 5), (128, 256, 3), (256, 512, 2)]
    convs = [Convs(1, 7, 3, 64, 17)]
    for c_in, c_out, size in stages:
        convs += basic_stage(2, c_in, c_out, size, 2, "A")
    assert facts.flops == sum(conv.multiply_adds for conv in convs) + 512 * 7


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_a_net_as_it_was(training: bool) -> None:
    net = build_net(family="cifar", depth=8, shortcut="B", num_classes=10).train(training)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert count_flops(net, 32) == describe_cifar(8, "B").flops
    assert num_parameters(net) == describe_cifar(8, "B").num_parameters
    assert net.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_describing_allocates_nothing_and_draws_nothing() -> None:
    before = torch.get_rng_state()
    describe_imagenet(152, "C")
    assert torch.equal(torch.get_rng_state(), before)


def test_describing_refuses_what_cannot_be_built() -> None:
    with pytest.raises(UsageError, match="depth 21"):
        describe_cifar(21, "A")
