"""The whole net: sizes, plain twins, initialisation, compilation, and the deepest net's memory."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from resnet_cluster.errors import UsageError
from resnet_cluster.nets import ResNet, build_net


def build(family: Any, depth: int, shortcut: Any, variant: Any = "v1") -> ResNet:
    torch.manual_seed(0)
    return build_net(family=family, depth=depth, shortcut=shortcut, variant=variant, num_classes=10)


def shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize(
    ("family", "depth", "size", "expected"),
    [
        ("imagenet", 34, 224, [(64, 56), (64, 56), (128, 28), (256, 14), (512, 7)]),
        ("imagenet", 50, 224, [(64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)]),
        ("cifar", 20, 32, [(16, 32), (16, 32), (32, 16), (64, 8)]),
    ],
)
def test_sizes_of_stem_and_stages(
    family: str, depth: int, size: int, expected: list[tuple[int, int]]
) -> None:
    with torch.device("meta"):
        net = build(family, depth, "A")
        features = net.stem(torch.empty(2, 3, size, size))
        seen = [features.shape]
        for name in net.stage_names:
            features = net.get_submodule(name)(features)
            seen.append(features.shape)
    assert seen == [(2, channels, side, side) for channels, side in expected]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (33, 47), (96, 64)])
@pytest.mark.parametrize(("family", "depth"), [("cifar", 8), ("imagenet", 18)])
def test_images_of_any_size(family: str, depth: int, size: tuple[int, int]) -> None:
    net = build(family, depth, "A").eval()
    assert net(torch.randn(3, 3, *size)).shape == (3, 10)


@pytest.mark.parametrize(
    ("family", "depth"),
    [("cifar", 20), ("cifar", 110), ("imagenet", 18), ("imagenet", 34), ("imagenet", 50)],
)
def test_plain_net_and_its_option_a_twin_share_their_weights(family: str, depth: int) -> None:
    with torch.device("meta"):
        plain, residual = build(family, depth, "none"), build(family, depth, "A")
    assert shapes(plain) == shapes(residual)
    assert not [name for name in shapes(plain) if "downsample" in name]


@pytest.mark.parametrize("family_depth", [("cifar", 20), ("imagenet", 18)])
def test_plain_net_and_its_twin_differ_in_what_they_compute(family_depth: tuple[str, int]) -> None:
    plain, residual = build(*family_depth, "none"), build(*family_depth, "A")
    residual.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(plain(images), residual(images))


def test_projections_stand_where_dimensions_rise() -> None:
    with torch.device("meta"):
        names = {kind: shapes(build("imagenet", 34, kind)) for kind in ("B", "C")}
    projections = {
        kind: [name.removesuffix(".downsample.0.weight") for name in keys if "sample.0" in name]
        for kind, keys in names.items()
    }
    assert projections["B"] == ["layer2.0", "layer3.0", "layer4.0"]
    assert len(projections["C"]) == 3 + 4 + 6 + 3


def test_same_seed_same_weights() -> None:
    first, second = build("cifar", 8, "B"), build("cifar", 8, "B")
    third = build_net(family="cifar", depth=8, shortcut="B", num_classes=10)
    for one, two, other in zip(*(net.parameters() for net in (first, second, third)), strict=True):
        assert torch.equal(one, two)
        assert one.dim() == 1 or not torch.equal(one, other)


def weights(net: nn.Module) -> dict[str, Tensor]:
    """Weights of the convolutions and the classifier."""
    return {name: w.detach() for name, w in net.named_parameters() if w.dim() > 1}


@pytest.mark.parametrize(("family", "depth"), [("cifar", 56), ("imagenet", 50)])
def test_weights_have_the_deviation_of_he_initialisation(family: str, depth: int) -> None:
    for name, weight in weights(build(family, depth, "B")).items():
        fan_in = math.prod(weight.shape[1:])
        std = math.sqrt(2 / fan_in)
        # Five standard errors: of a sample's deviation, and of its mean.
        assert weight.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * weight.numel())), (
            name
        )
        assert abs(weight.mean().item()) < 5 * std / math.sqrt(weight.numel()), name


def test_weights_are_normal() -> None:
    net = build("cifar", 110, "A")
    standard = [w.flatten() * math.sqrt(w[0].numel() / 2) for w in weights(net).values()]
    assert stats.kstest(torch.cat(standard).numpy(), "norm").pvalue > 0.01


def test_batch_normalisation_begins_as_the_identity_and_the_classifier_without_bias() -> None:
    net = build("imagenet", 50, "B")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert torch.equal(module.bias, torch.zeros_like(module.bias))
    assert torch.equal(net.fc.bias, torch.zeros(10))
    assert not [name for name in shapes(net) if "conv" in name and name.endswith("bias")]


@pytest.mark.parametrize(
    ("family", "depth", "shortcut", "variant"),
    [("cifar", 21, "A", "v1"), ("imagenet", 42, "B", "v1"), ("imagenet", 18, "B", "v1.5")],
)
def test_what_is_not_in_the_paper_is_not_built(
    family: str, depth: int, shortcut: str, variant: str
) -> None:
    with pytest.raises(UsageError):
        build(family, depth, shortcut, variant)


@pytest.mark.parametrize(
    ("family", "depth", "shortcut"),
    [("cifar", 8, kind) for kind in ("none", "A", "B", "C")] + [("imagenet", 18, "A")],
)
def test_compiles_as_one_graph(family: str, depth: int, shortcut: str) -> None:
    net = build(family, depth, shortcut).eval()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(compiled(images), net(images))


ONE_STEP_OF_1202_LAYERS = """
from pathlib import Path
import torch
from resnet_cluster.nets import build_net

def peak_kib():  # of this process alone: ru_maxrss would count the parent's before exec
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

def train_a_step(depth):
    net = build_net(family="cifar", depth=depth, shortcut="A", num_classes=10)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    ends = (net.conv1.weight, net.fc.weight)
    before = [weight.detach().clone() for weight in ends]
    loss = torch.nn.functional.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.arange(4))
    loss.backward()
    optimiser.step()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert all((old != new).any() for old, new in zip(before, ends, strict=True))

torch.manual_seed(0)
torch.set_num_threads(1)  # where cores are shared, two threads wait for each other
train_a_step(8)  # loads all that a step needs, whatever the depth
before = peak_kib()
train_a_step(1202)
print(peak_kib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_1202_layers_train_a_step_in_bounded_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE_STEP_OF_1202_LAYERS],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # Each of a stage's 400 layers keeps two maps for the backward pass, what its convolution and
    # what its batch normalisation were given; all else (ReLU, addition) is done in place.
    maps = sum(2 * 400 * width * side**2 for width, side in ((16, 32), (32, 16), (64, 8)))
    activations = 4 * maps * 4  # four images, four bytes
    weights_gradients_and_momentum = 3 * 19_421_274 * 4
    bound = 1.15 * (activations + weights_gradients_and_momentum)
    measured = 1024 * int(done.stdout)
    assert measured < bound
