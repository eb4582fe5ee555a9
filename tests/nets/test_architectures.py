"""Which networks may be asked for, and what is said of the others."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnet_cluster.nets
from resnet_cluster.errors import UsageError
from resnet_cluster.nets import check_architecture, find_architecture

CIFAR_DEPTHS = [6 * n + 2 for n in range(1, 201)]


def refusal(*architecture: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check_architecture(*architecture)
    return caught.value


@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize("depth", [8, 20, 32, 44, 56, 110, 1202])
def test_cifar_nets_of_the_paper_are_known(depth: int, shortcut: Any) -> None:
    check_architecture("cifar", depth, shortcut, "v1")


@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_imagenet_nets_of_the_paper_are_known(depth: int, shortcut: Any) -> None:
    check_architecture("imagenet", depth, shortcut, "v1")


@pytest.mark.parametrize(
    ("depth", "mend"),
    [
        (21, "6n+2: 20 or 26"),
        (25, "6n+2: 20 or 26"),
        (109, "6n+2: 104 or 110"),
        (2, "6n+2: 8"),
        (7, "6n+2: 8"),
        (-5, "6n+2: 8"),
        (1203, "6n+2: 1202"),
        (1208, "6n+2: 1202"),
    ],
)
def test_wrong_cifar_depth_names_the_nearest(depth: int, mend: str) -> None:
    error = refusal("cifar", depth, "A", "v1")
    assert f"depth {depth}" in error.message
    assert error.mend == mend


@given(st.integers(-100, 3000))
def test_cifar_depth_is_refused_unless_6n_plus_2(depth: int) -> None:
    if depth in CIFAR_DEPTHS:
        check_architecture("cifar", depth, "A", "v1")
        return
    below = [valid for valid in CIFAR_DEPTHS if valid < depth][-1:]
    above = [valid for valid in CIFAR_DEPTHS if valid > depth][:1]
    mend = refusal("cifar", depth, "A", "v1").mend
    assert mend == "6n+2: " + " or ".join(str(valid) for valid in below + above)


@pytest.mark.parametrize("depth", [42, 20, 110, 0, -18])
def test_wrong_imagenet_depth_names_all_depths(depth: int) -> None:
    error = refusal("imagenet", depth, "B", "v1")
    assert f"depth {depth}" in error.message
    assert error.mend == "18, 34, 50, 101 or 152"


@pytest.mark.parametrize(
    ("architecture", "said", "mend"),
    [
        (("svhn", 20, "A", "v1"), "family 'svhn'", "imagenet or cifar"),
        (("cifar", 20, "D", "v1"), "shortcut 'D'", "none, A, B or C"),
        (("cifar", 20, "a", "v1"), "shortcut 'a'", "none, A, B or C"),
        (("imagenet", 50, "B", "v2"), "variant 'v2'", "v1 or v1.5"),
    ],
)
def test_unknown_word_is_refused_with_the_known(architecture: Any, said: str, mend: str) -> None:
    error = refusal(*architecture)
    assert said in error.message
    assert error.mend == mend


@pytest.mark.parametrize(
    ("family", "depth"), [("imagenet", 18), ("imagenet", 34), ("cifar", 20), ("cifar", 1202)]
)
def test_stride_variant_is_refused_on_basic_blocks(family: Any, depth: int) -> None:
    error = refusal(family, depth, "B", "v1.5")
    assert "v1.5" in error.message
    assert "50, 101 or 152" in error.mend


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_stride_variant_is_known_on_bottlenecks(depth: int) -> None:
    for shortcut in ("none", "A", "B", "C"):
        check_architecture("imagenet", depth, shortcut, "v1.5")


def test_depth_counts_the_convolutions_and_the_classifier() -> None:
    for depth in (18, 34, 50, 101, 152):
        net = find_architecture("imagenet", depth)
        layers = {"basic": 2, "bottleneck": 3}[net.block]
        assert 1 + layers * sum(net.num_blocks) + 1 == depth
    for depth in CIFAR_DEPTHS:
        assert 1 + 2 * sum(find_architecture("cifar", depth).num_blocks) + 1 == depth


def test_checking_does_not_import_torch() -> None:
    code = (
        "import sys; from resnet_cluster.nets import check_architecture as check;"
        "check('cifar', 20, 'A', 'v1'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_every_public_name_is_there() -> None:
    for name in resnet_cluster.nets.__all__:
        assert getattr(resnet_cluster.nets, name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(resnet_cluster.nets, "VGG")
