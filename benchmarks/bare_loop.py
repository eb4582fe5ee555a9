"""A training loop as one writes it by hand for one experiment; it imports nothing of the project.

It is a generator, so that it can be held before each step; that is all it does for the benchmark.
Its flags: beton, depth, batch, bn_group, pad, precision, channels_last, device, seed, folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from ffcv.reader import Reader
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.added = stride, width - channels

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.added:
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, 0, self.added))
        out += x
        return F.relu(out, inplace=True)


def build_net(depth: int, num_classes: int) -> nn.Sequential:
    """The CIFAR net of 6n+2 layers."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    ]
    channels = 16
    for width in (16, 32, 64):
        for place in range((depth - 2) // 6):
            layers.append(Block(channels, width, 2 if place == 0 and width > 16 else 1))
            channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes)]
    net = nn.Sequential(*layers)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
    return net


class Images:
    """A beton's images, mapped into memory."""

    def __init__(self, path: str) -> None:
        metadata = Reader(path).metadata
        image = metadata["f0"]
        self.side = int(image["width"][0])
        self.pointers = image["data_ptr"].astype(np.int64)
        self.labels = metadata["f1"].reshape(-1).astype(np.int64)
        num_bytes = 3 * self.side**2
        file = np.memmap(path, np.uint8, mode="r")
        self.windows = np.ndarray((len(file) - num_bytes + 1,), f"V{num_bytes}", file, strides=(1,))

    def read(self, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 [n, side, side, 3]."""
        pixels: np.ndarray[Any, Any] = self.windows[self.pointers[ids]].view(np.uint8)
        return pixels.reshape(-1, self.side, self.side, 3)


def augment(images: Tensor, pad: int) -> Tensor:
    """Zeros around, a crop, a mirror image: one gather of whole pixels, channels last."""
    count, channels, height, width = images.shape
    device = images.device
    top, left = torch.randint(0, 2 * pad + 1, (2, count, 1), device=device)
    mirrored = torch.rand(count, 1, device=device) < 0.5
    columns = torch.arange(width, device=device)
    columns = left + torch.where(mirrored, columns.flip(0), columns)
    rows = torch.arange(count, device=device)[:, None] * (height + 2 * pad)
    rows = rows + top + torch.arange(height, device=device)
    pixels = rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]
    padded = F.pad(images, (pad,) * 4).permute(0, 2, 3, 1).reshape(-1, channels)
    cropped = padded.index_select(0, pixels.view(-1))
    return cropped.view(count, height, width, channels).permute(0, 3, 1, 2)


def train(flags: dict[str, Any]) -> Iterator[int]:
    """Train for ever; yields the number of parameters before each step."""
    device = torch.device(flags["device"])
    torch.manual_seed(flags["seed"])
    data = Images(flags["beton"])
    layout = torch.channels_last if flags["channels_last"] else torch.contiguous_format
    net = build_net(flags["depth"], int(data.labels.max()) + 1).to(device).to(memory_format=layout)
    num_parameters = sum(parameter.numel() for parameter in net.parameters())
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4, fused=True)
    every = np.arange(len(data.labels))
    mean = torch.from_numpy(data.read(every).mean(0, dtype=np.float64)).float()
    mean = mean.permute(2, 0, 1).contiguous().to(device)
    sums = torch.zeros(4, dtype=torch.float64, device=device)
    dtype = {"bf16": torch.bfloat16}.get(flags["precision"], torch.float32)
    said = time.monotonic()
    for epoch in range(10**9):
        for groups in steps(data, flags, epoch):
            yield num_parameters
            optimizer.zero_grad(set_to_none=True)
            for pixels, targets in groups:
                labels = targets.to(device, non_blocking=True)
                images = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2)
                images = images.to(torch.float32, memory_format=layout).sub_(mean)
                images = augment(images, flags["pad"]).contiguous(memory_format=layout)
                with torch.autocast(device.type, dtype, enabled=flags["precision"] != "off"):
                    logits = net(images)
                    loss = F.cross_entropy(logits, labels, reduction="sum")
                with torch.no_grad():
                    hits = logits.topk(5, dim=1).indices.eq(labels[:, None])
                    sums[0] += loss.detach()
                    sums[1] += len(labels) - hits[:, 0].sum()
                    sums[2] += len(labels) - hits.sum()
                    sums[3] += len(labels)
                (loss / flags["batch"]).backward()
            optimizer.step()
            if time.monotonic() - said > 1.0:
                print("loss", float(sums[0] / sums[3]), file=sys.stderr)
                said = time.monotonic()
        state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(state, Path(flags["folder"], "bare.pt"))
        sums.zero_()


def steps(
    data: Images, flags: dict[str, Any], epoch: int
) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """The micro-batches of each step of an epoch."""
    batch, group = flags["batch"], flags["bn_group"]
    order = np.random.default_rng((flags["seed"], epoch)).permutation(len(data.labels))
    for at in range(0, len(order) - batch + 1, batch):
        ids = order[at : at + batch].reshape(-1, group)
        yield (
            (torch.from_numpy(data.read(own)), torch.from_numpy(data.labels[own])) for own in ids
        )
