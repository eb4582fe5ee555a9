"""How large a network's signals are, forward and backward, while it trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from resnet_cluster.evaluation import watched
from resnet_cluster.training.context import LayerNorms


@dataclass(kw_only=True)
class NormsProbe:
    """Sums of squares of one micro-batch, layer by layer; nothing is waited for until `layers`.

    The pass computes what it would compute unwatched, to the last bit.
    """

    forward: dict[str, Tensor] = field(default_factory=dict)
    gradient: dict[str, Tensor] = field(default_factory=dict)

    @contextlib.contextmanager
    def watching(self, net: nn.Module) -> Iterator[None]:
        """Meanwhile a forward pass is seen, and then its backward pass."""

        def tell(name: str, output: Tensor) -> None:
            self.forward[name] = _rms(output.detach())
            if output.requires_grad:
                # The activation changes the output in place: its gradient is asked for before.
                hook = partial(self._keep, name)
                output.register_hook(hook)  # type: ignore[no-untyped-call]

        with watched(net, tell):
            yield

    def _keep(self, name: str, grad: Tensor) -> None:
        self.gradient[name] = _rms(grad)

    def layers(self, loss_scale: float) -> tuple[LayerNorms, ...]:
        """The norms, in the order of the layers.

        Args:
            loss_scale: by what the mean loss of the micro-batch was multiplied before the pass.
        """
        return tuple(
            LayerNorms(
                name=name, forward=float(rms), gradient=float(self.gradient[name]) / loss_scale
            )
            for name, rms in self.forward.items()
        )


def _rms(values: Tensor) -> Tensor:
    return values.float().square().mean(dtype=torch.float64).sqrt()
