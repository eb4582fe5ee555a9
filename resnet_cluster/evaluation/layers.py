"""Watches the 3x3 layers of a network while images pass it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor, nn


@contextlib.contextmanager
def watched(net: nn.Module, tell: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Meanwhile `tell` is called with each response: a 3x3 layer's output after its normalisation.

    Args:
        net: a network whose 3x3 convolutions are each followed by batch normalisation.
        tell: called with the convolution's name and the normalised output, which it must not
            change, before the activation.
    """
    latest: dict[int, str] = {}

    def after_conv(name: str, output: Tensor) -> None:
        latest.clear()
        latest[id(output)] = name

    def after_norm(given: Tensor, output: Tensor) -> None:
        if (name := latest.pop(id(given), None)) is not None:
            tell(name, output)

    handles = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            handles.append(
                module.register_forward_hook(lambda _, __, out, name=name: after_conv(name, out))
            )
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(
                module.register_forward_hook(lambda _, given, out: after_norm(given[0], out))
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
