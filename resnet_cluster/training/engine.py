"""One rank's share of an optimiser step, and the state that steps move."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from resnet_cluster.data import Batch
from resnet_cluster.evaluation import Tally
from resnet_cluster.spec import TrainSpec
from resnet_cluster.training.batchnorm import (
    BatchNormParts,
    batch_counters,
    running_statistics,
)
from resnet_cluster.training.ema import Ema
from resnet_cluster.training.gradients import GradientSum
from resnet_cluster.training.graphs import GraphedSteps, MicroBatch, can_be_captured
from resnet_cluster.training.noise import Noise
from resnet_cluster.training.norms import NormsProbe
from resnet_cluster.training.optimizer import build_optimizer
from resnet_cluster.training.pixels import Pixels


class Engine:
    """Takes optimiser steps: the experiment is the same whatever the number of ranks.

    A global batch is cut into micro-batches of `bn_group` images, normalised apart from each other.
    Each rank takes some of them; the gradient is the sum over all, each image weighing 1/B.

    Args:
        net: the network, on its device and in its memory format; the same on every rank.
        train: the recipe.
        pixels: uint8 images to augmented floats.
        world_rank: this rank.
        world_size: number of ranks; with more than one, torch.distributed is initialised.
        micro_batches: this rank's places among the step's micro-batches.
        seed: of what the network itself draws while it trains, such as dropout.
    """

    def __init__(
        self,
        net: nn.Module,
        train: TrainSpec,
        pixels: Pixels,
        *,
        world_rank: int,
        world_size: int,
        micro_batches: range,
        seed: int = 0,
    ) -> None:
        self.net = net
        self.train = train
        self.pixels = pixels
        self.device = next(net.parameters()).device
        self.optimizer = build_optimizer(net, train)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=train.precision == "fp16")
        self.gradients = GradientSum(net, world_size)
        self.micro_batches = micro_batches
        self.noise = Noise(net, seed)
        self.statistics = BatchNormParts(
            net,
            world_rank=world_rank,
            world_size=world_size,
            micro_batches=micro_batches,
            num_micro_batches=train.global_batch_size // train.bn_group,
        )
        self.ema = Ema(net, self.statistics.parts, train.ema.decay) if train.ema else None
        self.tally = Tally(self.device)
        self._forward = torch.compile(net) if train.compile else net
        is_captured = can_be_captured(net, train, self.device, world_size=world_size)
        self._graphed = GraphedSteps(self._launch, self.device) if is_captured else None
        self._measured: nn.Module | None = None

    def step(
        self,
        batches: Iterable[Batch],
        *,
        epoch: int,
        lr: float,
        number: int = 0,
        probe: NormsProbe | None = None,
    ) -> None:
        """Take one optimiser step on this rank's micro-batches; waits for no device.

        Args:
            batches: exactly this rank's micro-batches of the step, in order.
            epoch: counted from 0; with the seed and an image's number it fixes its augmentation.
            lr: learning rate of the step.
            number: of the step, counted from 0 over the whole training.
            probe: watches the first micro-batch.
        """
        drawn = (
            (batch.images, batch.labels, *self.pixels.drawn(batch.sample_ids, epoch, self.device))
            for batch in batches
        )
        rate = self._graphed.rate(lr) if self._graphed else lr
        if self._graphed and not probe:
            self._graphed(drawn)
        else:
            self._launch(drawn, rate, number, probe)

    def _launch(
        self,
        micro_batches: Iterable[MicroBatch],
        lr: float | Tensor,
        number: int = 0,
        probe: NormsProbe | None = None,
    ) -> None:
        """Take a step, kernel by kernel."""
        self.optimizer.zero_grad()
        self.statistics.before_step()
        for place, (images, labels, *draws) in enumerate(micro_batches, start=1):
            self.noise.begin(number, self.micro_batches.start + place - 1)
            with probe.watching(self.net) if probe and place == 1 else contextlib.nullcontext():
                loss = self._loss(self.pixels.augmented(images, draws), labels)
            if place == self.num_micro_batches:
                self.gradients.before_last_backward()
            self.scaler.scale(loss / self.train.global_batch_size).backward()  # type: ignore[no-untyped-call]
        self.statistics.after_step()
        self.gradients.finish()
        self.scaler.step(self.optimizer, lr=lr)  # type: ignore[arg-type]  # it takes what steps
        self.scaler.update()
        if self.ema:
            self.ema.update()

    @property
    def num_micro_batches(self) -> int:
        """Of a step, on this rank."""
        return len(self.micro_batches)

    @property
    def loss_scale(self) -> float:
        """By what the mean loss of a micro-batch is multiplied before its backward pass."""
        return self.scaler.get_scale() * self.train.bn_group / self.train.global_batch_size

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss summed over a micro-batch; its errors go into the tally."""
        with self._autocast():
            logits = self._forward(images)
            loss = F.cross_entropy(
                logits, labels, reduction="sum", label_smoothing=self.train.label_smoothing
            )
        self.tally.add(logits, labels, loss)
        return loss

    def _autocast(self) -> torch.autocast:
        dtype = torch.float16 if self.train.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=self.train.precision != "off")

    @torch.no_grad()
    def measured_net(self) -> nn.Module:
        """The network as it is measured: averaged weights where there are any, whole statistics.

        A copy, in evaluation mode; the training goes on undisturbed. Every rank calls it.
        """
        if self._measured is None:
            self._measured = copy.deepcopy(self.net)
        parameters: list[Tensor] = list(self.ema.parameters if self.ema else self.net.parameters())
        parts = self.ema.parts if self.ema else self.statistics.parts
        torch._foreach_copy_(list(self._measured.parameters()), parameters)
        if parts:  # or there is no batch normalisation
            torch._foreach_copy_(running_statistics(self._measured), self.statistics.whole(parts))
            torch._foreach_copy_(batch_counters(self._measured), batch_counters(self.net))
        return self._measured.eval()

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Whether what would be measured is finite; every rank calls it and hears the same."""
        tensors = self.measured_net().state_dict().values()
        return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())

    def shared_state(self) -> dict[str, Any]:
        """The state that is the same on every rank."""
        return {
            "net": self.net.state_dict(),
            "momenta": self.optimizer.state(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.parameters if self.ema else None,
        }

    @property
    def addends(self) -> list[Tensor]:
        """The state whose sum over the ranks is meant: live tensors, not copies."""
        parts = self.ema.parts if self.ema else []
        return [self.tally.sums, *self.statistics.parts, *parts]

    @torch.no_grad()
    def load_shared_state(self, state: dict[str, Any]) -> None:
        """Go on from `shared_state`; addends come after it, since the network holds some."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state(state["momenta"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            torch._foreach_copy_(self.ema.parameters, state["ema"])
