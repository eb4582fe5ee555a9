"""Our SGD against torch.optim's, to the bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from resnet_cluster.training.optimizer import ParameterGroup, Sgd

LR = 0.1
SHAPES = [(8, 3, 3, 3), (8,), (5, 8), (5,)]


def parameters() -> list[nn.Parameter]:
    """The same values at each call."""
    generator = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def gradients() -> Iterator[list[Tensor]]:
    """Without end."""
    generator = torch.Generator().manual_seed(5)
    while True:
        yield [torch.randn(shape, generator=generator) for shape in SHAPES]


def give(owners: list[nn.Parameter], values: list[Tensor]) -> None:
    """Set the gradients."""
    for parameter, value in zip(owners, values, strict=True):
        parameter.grad = value.clone()


def pair(momentum: float, *, nesterov: bool) -> tuple[Sgd, torch.optim.SGD]:
    """Ours and torch's, with matrices that decay and vectors that do not."""
    ours, theirs = parameters(), parameters()
    mine = [
        ParameterGroup(parameters=ours[::2], weight_decay=1e-2),
        ParameterGroup(parameters=ours[1::2], weight_decay=0.0),
    ]
    other = [
        {"params": theirs[::2], "weight_decay": 1e-2},
        {"params": theirs[1::2], "weight_decay": 0.0},
    ]
    return (
        Sgd(mine, momentum=momentum, nesterov=nesterov),
        torch.optim.SGD(other, lr=LR, momentum=momentum, nesterov=nesterov, fused=True),
    )


def all_of(optimizer: Sgd | torch.optim.SGD) -> list[nn.Parameter]:
    """Its parameters, in its own order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def assert_equal(ours: Sgd, theirs: torch.optim.SGD) -> None:
    """Every parameter, to the bit."""
    assert all(map(torch.equal, all_of(ours), all_of(theirs)))


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, False), (0.9, True), (0.0, False)])
def test_steps_are_torchs(momentum: float, nesterov: bool) -> None:
    ours, theirs = pair(momentum, nesterov=nesterov)
    for number, values in zip(range(6), gradients(), strict=False):
        lr = LR / (1 + number)
        for optimizer in (ours, theirs):
            give(sorted(all_of(optimizer), key=torch.numel), sorted(values, key=torch.numel))
        ours.step(lr=lr)
        for torch_group in theirs.param_groups:
            torch_group["lr"] = lr
        theirs.step()
        assert_equal(ours, theirs)
    ours.zero_grad()
    assert all(parameter.grad is None for parameter in all_of(ours))


def test_a_step_with_an_infinite_gradient_is_left_out() -> None:
    ours, theirs = pair(0.9, nesterov=False)
    scalers = [torch.amp.GradScaler("cpu", init_scale=64.0) for _ in range(2)]
    for number, values in zip(range(4), gradients(), strict=False):
        scaled = [64.0 * value for value in values]
        if number == 1:
            scaled[0][0] = torch.inf
        before = [parameter.detach().clone() for parameter in all_of(ours)]
        for scaler, optimizer in zip(scalers, (ours, theirs), strict=True):
            scaler.scale(torch.zeros(()))  # it makes its state at its first use
            give(sorted(all_of(optimizer), key=torch.numel), sorted(scaled, key=torch.numel))
        scalers[0].step(ours, lr=LR)
        scalers[1].step(theirs)
        for scaler in scalers:
            scaler.update(64.0)
        moved = not all(map(torch.equal, before, all_of(ours)))
        assert moved is (number != 1)
        for mine, other in zip(all_of(ours), all_of(theirs), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)


def test_another_goes_on_from_the_state() -> None:
    ours, theirs = pair(0.9, nesterov=False)
    stream = gradients()
    values = next(stream)
    give(all_of(ours), sorted(values, key=lambda v: v.ndim == 1))
    ours.step(lr=LR)
    other, _ = pair(0.9, nesterov=False)
    for mine, copied in zip(all_of(ours), all_of(other), strict=True):
        copied.data.copy_(mine)
    other.load_state(ours.state())
    values = sorted(next(stream), key=lambda v: v.ndim == 1)
    for optimizer in (ours, other):
        give(all_of(optimizer), values)
        optimizer.step(lr=LR)
    assert all(map(torch.equal, all_of(ours), all_of(other)))
    assert not any(map(torch.equal, all_of(ours), all_of(theirs)))


QUICK_TO_START = """
import sys, torch
from torch import nn
from resnet_cluster.nets import describe_model
from resnet_cluster.spec import PaperNetSpec
from resnet_cluster.training.optimizer import ParameterGroup, Sgd
model = PaperNetSpec(family="cifar", depth=20, shortcut="A")
describe_model(model, num_classes=10, sizes=(32,))
weight = nn.Parameter(torch.ones(3))
weight.grad = torch.ones(3)
group = ParameterGroup(parameters=[weight], weight_decay=0.0)
Sgd([group], momentum=0.9, nesterov=False).step(lr=0.1)
assert weight.sum() < 3
print("torch._dynamo" in sys.modules)
"""


def test_neither_a_plan_nor_a_step_imports_torchs_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUICK_TO_START],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "False"
