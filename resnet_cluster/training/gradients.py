"""Gradients summed over ranks, in buckets that travel while the backward pass goes on.

Unlike DistributedDataParallel's, the buckets are fixed from the first step (the same sums in the
same order at every step, so that a resumed run is bitwise the same), and ranks may take unequal
numbers of micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET_BYTES = 25 * 1024 * 1024
"""Bytes of a bucket: large enough for bandwidth, small enough to overlap (as in torch's DDP)."""


@dataclass
class _Bucket:
    parameters: list[nn.Parameter]
    missing: int = 0
    flat: Tensor | None = None
    work: dist.Work | None = field(default=None, repr=False)


class GradientSum:
    """Sums the gradients of a network over all ranks; with one rank it does nothing.

    Args:
        net: its parameters are followed; each must get a gradient in every backward pass.
        world_size: number of ranks.
    """

    def __init__(self, net: nn.Module, world_size: int) -> None:
        self._buckets: list[_Bucket] = []
        self._bucket_of: dict[nn.Parameter, _Bucket] = {}
        self._next = 0
        self._is_last = False
        if world_size > 1:
            self._buckets = _cut([p for p in net.parameters() if p.requires_grad])
            for bucket in self._buckets:
                for parameter in bucket.parameters:
                    self._bucket_of[parameter] = bucket
                    parameter.register_post_accumulate_grad_hook(self._on_gradient)  # type: ignore[no-untyped-call]

    def before_last_backward(self) -> None:
        """Say that the next backward pass is the step's last: its gradients may leave."""
        self._is_last = True
        self._next = 0
        for bucket in self._buckets:
            bucket.missing = len(bucket.parameters)

    def finish(self) -> None:
        """Wait until every gradient holds the sum over all ranks."""
        assert self._next == len(self._buckets), "a parameter got no gradient"
        for bucket in self._buckets:
            assert bucket.work is not None
            assert bucket.flat is not None
            bucket.work.wait()
            _unflatten(bucket.flat, _gradients(bucket))
            bucket.work = bucket.flat = None
        self._is_last = False

    def _on_gradient(self, parameter: nn.Parameter) -> None:
        if not self._is_last:
            return
        self._bucket_of[parameter].missing -= 1
        # Buckets leave in their order, whatever the order in which they fill: ranks must agree.
        while self._next < len(self._buckets) and not self._buckets[self._next].missing:
            self._send(self._buckets[self._next])
            self._next += 1

    def _send(self, bucket: _Bucket) -> None:
        bucket.flat = torch.cat([_memory_of(gradient) for gradient in _gradients(bucket)])
        bucket.work = dist.all_reduce(bucket.flat, async_op=True)


def _cut(parameters: list[nn.Parameter]) -> list[_Bucket]:
    """Buckets in the order in which the backward pass reaches them: the last layers first."""
    buckets: list[_Bucket] = []
    room = 0
    for parameter in reversed(parameters):
        num_bytes = parameter.numel() * parameter.element_size()
        if not buckets or room < num_bytes:
            buckets.append(_Bucket([]))
            room = BUCKET_BYTES
        buckets[-1].parameters.append(parameter)
        room -= num_bytes
    return buckets


def _gradients(bucket: _Bucket) -> list[Tensor]:
    gradients = [parameter.grad for parameter in bucket.parameters]
    return [gradient for gradient in gradients if gradient is not None]


def _memory_of(tensor: Tensor) -> Tensor:
    """A dense tensor's elements in the order in which they lie, whatever its memory format."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _unflatten(flat: Tensor, gradients: list[Tensor]) -> None:
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    torch._foreach_copy_([_memory_of(gradient) for gradient in gradients], list(parts))
