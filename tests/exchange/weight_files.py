"""Small weights, and files of them, for the tests of this room."""

from __future__ import annotations

import io
import json
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from resnet_cluster.nets import build_net


def make_net(*, seed: int = 0, num_classes: int = 10) -> torch.nn.Module:
    """The smallest net, its running statistics moved from where they begin."""
    torch.manual_seed(seed)
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=num_classes)
    net(torch.randn(4, 3, 8, 8))
    return net.eval()


def make_weights(*, seed: int = 0, num_classes: int = 10) -> dict[str, Tensor]:
    """Its state dict."""
    return dict(make_net(seed=seed, num_classes=num_classes).state_dict())


def as_torch(content: Any, **options: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def as_safetensors(weights: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """What safetensors' own writer writes."""
    return save(weights, metadata)


def by_hand(header: object, data: bytes = b"") -> bytes:
    """A safetensors file of a header that its writer would not write."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data
