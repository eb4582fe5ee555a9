"""Training as a textbook writes it: PIL, numpy, torchvision's nets, torch.optim.

What is drawn at random (the order, places of crops, mirror images, colours, initial weights) is
the tool's by definition; what is done with it is written here a second time, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from beton_images import beton_images
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision import models

from resnet_cluster.data import (
    ColorShift,
    PadCropFlip,
    RandomResizedCrop,
    ShorterSideJitter,
    load_manifest,
    split_holdout,
    training_statistics,
)
from resnet_cluster.data.order import epoch_order
from resnet_cluster.spec import JobSpec
from resnet_cluster.training.run import initialised_net

Rates = Callable[[int, list[float]], float]
"""Rate of a step, from its number and the training errors of the steps before it, in percent."""


class PlainBlock(nn.Module):
    """Section 4.2: two 3x3 convolutions and a shortcut without parameters, or none."""

    def __init__(self, width_in: int, width: int, *, is_plain: bool) -> None:
        super().__init__()
        self.stride = 1 if width_in == width else 2
        self.is_plain, self.missing = is_plain, width - width_in
        self.conv1 = nn.Conv2d(width_in, width, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.is_plain:
            return F.relu(y)
        shortcut = x[..., :: self.stride, :: self.stride]
        zeros = shortcut.new_zeros(len(x), self.missing, *shortcut.shape[2:])
        return F.relu(y + torch.cat((shortcut, zeros), dim=1))


class PlainCifarNet(nn.Module):
    """Section 4.2: 6n+2 layers of 16, 32 and 64 filters."""

    def __init__(self, depth: int, *, is_plain: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        widths = [width for width in (16, 32, 64) for _ in range((depth - 2) // 6)]
        pairs = zip([16, *widths], widths, strict=False)
        self.blocks = nn.Sequential(*(PlainBlock(*pair, is_plain=is_plain) for pair in pairs))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(F.relu(self.bn(self.conv(x))))
        logits: Tensor = self.fc(y.mean(dim=(2, 3)))
        return logits


def torchvision_net(depth: int, *, variant: str, blur_pool: bool, num_classes: int) -> nn.Module:
    """Torchvision's, with the paper's place of the stride, and a low pass before each."""
    net: nn.Module = models.get_model(f"resnet{depth}", num_classes=num_classes)
    if variant == "v1":
        for module in net.modules():
            if isinstance(module, models.resnet.Bottleneck):
                module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    if blur_pool:
        for module in net.modules():
            if (
                isinstance(module, nn.Conv2d)
                and module.stride == (2, 2)
                and module.in_channels >= 16
            ):
                module.register_forward_pre_hook(lambda _, inputs: (_blurred(inputs[0]),))
    return net


def _blurred(images: Tensor) -> Tensor:
    """Each pixel with half its own weight and a quarter of either neighbour's, down and across."""
    for dim in (2, 3):
        padded = F.pad(images, (0, 0, 1, 1) if dim == 2 else (1, 1))
        size = images.shape[dim]
        before, own, after = (padded.narrow(dim, start, size) for start in range(3))
        images = before / 4 + own / 2 + after / 4
    return images


@dataclass(kw_only=True)
class PlainTraining:
    """A job's steps on a prepared data set."""

    job: JobSpec
    dataset: Path
    net: nn.Module
    rates: Rates

    def __post_init__(self) -> None:
        job, train = self.job, self.job.train
        self.images = list(beton_images(self.dataset, "train"))
        labels = np.array([label for _, label in self.images])
        self.train_ids, _ = split_holdout(labels, job.data.holdout, job.seed)
        num_classes = len(load_manifest(str(self.dataset)).classes)
        start = initialised_net(job, num_classes, torch.device("cpu")).state_dict()
        own = self.net.state_dict()
        assert [v.shape for v in own.values()] == [v.shape for v in start.values()]
        self.net.load_state_dict(dict(zip(own, start.values(), strict=True)))
        self.net.double().train()
        self.average = [p.detach().clone() for p in self.net.parameters()]
        groups: list[dict[str, Any]] = [{"params": []}, {"params": []}]
        for parameter in self.net.parameters():
            groups[parameter.ndim == 1]["params"].append(parameter)
        if not train.decay_bn_and_bias:
            groups[1]["weight_decay"] = 0.0
        self.optimizer = torch.optim.SGD(
            groups,
            lr=1.0,
            momentum=train.momentum,
            nesterov=train.nesterov,
            weight_decay=train.weight_decay,
        )
        self.errors: list[float] = []
        self.lrs: list[float] = []

    def run(self, num_steps: int) -> None:
        """Train."""
        size = self.job.train.global_batch_size
        per_epoch = len(self.train_ids) // size
        for step in range(num_steps):
            epoch, place = divmod(step, per_epoch)
            order = epoch_order(self.train_ids, seed=self.job.seed, epoch=epoch)
            self._step(step, epoch, order[place * size : (place + 1) * size])

    def _step(self, step: int, epoch: int, ids: NDArray[np.int64]) -> None:
        train = self.job.train
        self.lrs.append(self.rates(step, self.errors))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lrs[-1]
        self.optimizer.zero_grad()
        num_wrong = 0
        for own in np.split(ids, train.global_batch_size // train.bn_group):
            labels = torch.tensor([self.images[place][1] for place in own])
            logits = self.net(self._pixels(own, epoch))
            loss = F.cross_entropy(logits, labels, label_smoothing=train.label_smoothing)
            (loss * len(own) / len(ids)).backward()
            num_wrong += int((logits.argmax(1) != labels).sum())
        self.optimizer.step()
        self.errors.append(100.0 * num_wrong / len(ids))
        if train.ema:
            for average, parameter in zip(self.average, self.net.parameters(), strict=True):
                average.mul_(train.ema.decay).add_(parameter.detach(), alpha=1 - train.ema.decay)

    def _pixels(self, ids: NDArray[np.int64], epoch: int) -> Tensor:
        data, seed = self.job.data, self.job.seed
        mean, std, covariance = self._statistics()
        cut = self._uncut if data.crop is None else self._cut
        # The tool's pixels are float32, as its loader's are bytes.
        floats = (each.astype(np.float32) for each in (cut(ids, epoch), mean, std))
        pixels, mean, std = (each for each in floats)
        pixels = ((pixels - mean) / std).astype(np.float64)
        if data.augment.color == "pca":
            assert covariance is not None
            shift = ColorShift(covariance, None, seed).draw(ids, epoch)
            pixels = pixels + (shift / std)[:, None, None, :]
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        if data.crop is None:
            images = _padded(
                images,
                *PadCropFlip(data.augment.pad, data.augment.flip, seed).draw(ids, epoch),
                pad=data.augment.pad,
            )
        return torch.from_numpy(images)

    def _statistics(self) -> tuple[Any, Any, Any]:
        """Mean, deviation and covariance; for raw squares with a mean image of numpy's own."""
        kind = self.job.data.normalize
        found = training_statistics(load_manifest(str(self.dataset)), self.train_ids)
        if kind == "channel_mean_std":
            return found.channel_mean, found.channel_std, found.channel_covariance
        if kind == "channel_mean":
            return found.channel_mean, np.ones(3), found.channel_covariance
        if self.job.data.crop is not None:
            return found.pixel_mean, np.ones(3), found.channel_covariance
        return self._uncut(self.train_ids, 0).mean(axis=0), np.ones(3), None

    def _uncut(self, ids: NDArray[np.int64], epoch: int) -> NDArray[np.float64]:
        return np.stack([np.asarray(self.images[place][0], np.float64) for place in ids])

    def _cut(self, ids: NDArray[np.int64], epoch: int) -> NDArray[np.float64]:
        crop, seed = self.job.data.crop, self.job.seed
        assert crop is not None
        images = [self.images[place][0] for place in ids]
        sizes = np.array([image.size for image in images])
        kind: Any = RandomResizedCrop if crop.kind == "random_resized" else ShorterSideJitter
        drawn = kind(side=crop.size, seed=seed, epoch=epoch).crops(sizes[:, 0], sizes[:, 1], ids)
        cut = []
        for image, region, resized, offset, mirrored in zip(
            images, drawn.regions, drawn.resized, drawn.offsets, drawn.mirrored, strict=True
        ):
            left, top, width, height = region.tolist()
            region_of = image.crop((left, top, left + width, top + height))
            # Pixels of version 1: the columns first (docs/pixels.md).
            columns, rows = resized.tolist()
            part = region_of.resize((columns, height), Image.Resampling.BILINEAR)
            part = part.resize((columns, rows), Image.Resampling.BILINEAR)
            x, y = offset.tolist()
            window = part.crop((x, y, x + crop.size, y + crop.size))
            if mirrored:
                window = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            cut.append(np.asarray(window, np.float64))
        return np.stack(cut)


def _padded(
    images: NDArray[np.float64],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    mirrored: NDArray[np.bool_],
    *,
    pad: int,
) -> NDArray[np.float64]:
    side = images.shape[-1]
    around = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = []
    for image, top, left, mirror in zip(around, tops, lefts, mirrored, strict=True):
        window = image[:, top : top + side, left : left + side]
        out.append(window[..., ::-1] if mirror else window)
    return np.stack(out)
