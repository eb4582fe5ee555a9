"""A network that is to be exported, and whether what was written gives the same outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnet_cluster.errors import IntegrityError
from resnet_cluster.exchange.preparation import Preparation
from resnet_cluster.nets import build_model
from resnet_cluster.spec import ModelSpec

NUM_IMAGES = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Exported:
    """What is exported.

    Attributes:
        model: the network.
        num_classes: of its classifier.
        weights: those that the run is measured with.
        preparation: of its images.
        metadata: what is said of it in the file, where that has room for it.
    """

    model: ModelSpec
    num_classes: int
    weights: dict[str, Tensor]
    preparation: Preparation
    metadata: dict[str, str]

    def net(self) -> nn.Module:
        """The run's network, on the CPU and in evaluation mode.

        Raises:
            IntegrityError: the weights are not those of the network.
        """
        net = build_model(self.model, self.num_classes)
        try:
            net.load_state_dict(self.weights)
        except RuntimeError as error:
            message = f"the run's weights do not fit its network: {str(error).splitlines()[0]}"
            raise IntegrityError(message, mend="restore weights.pt in the run's folder") from None
        return net.eval()

    def images(self) -> Tensor:
        """Seeded noise of the size that the network is measured at."""
        side = self.preparation.image_size
        return self.preparation.random_images(NUM_IMAGES, side, side)


@dataclass(frozen=True, kw_only=True)
class Check:
    """Outputs of what was written, beside those of the run's network on the same images."""

    against: str
    """Who has read what was written."""
    shapes: tuple[tuple[int, ...], ...]
    """Of the images."""
    largest_difference: float
    """Between two outputs, relative to the largest output."""
    tolerance: float
    """That it may have; 0 where the outputs have to be the same to the last bit."""


@torch.inference_mode()
def checked(
    net: nn.Module,
    other: Callable[[Tensor], Tensor],
    batches: tuple[Tensor, ...],
    *,
    against: str,
    tolerance: float = 0.0,
) -> Check:
    """Show two networks the same images.

    Args:
        net: the run's network.
        other: what was written, read back.
        batches: images, float32 [n, 3, h, w] each.
        against: names what has read the file.
        tolerance: of the difference, relative to the largest output.

    Raises:
        IntegrityError: the outputs differ by more.
    """
    largest = 0.0
    for images in batches:
        ours, theirs = net(images), other(images)
        if torch.equal(ours, theirs):
            continue
        difference = float((ours - theirs).abs().max() / ours.abs().max())
        if not difference <= tolerance:  # one that is no number is too large
            raise IntegrityError(
                f"{against} gives other outputs than the run's network: up to {difference:.2g} of "
                f"the largest apart, and {tolerance:.2g} is allowed; nothing was written",
                mend="report it, with the command and the versions of the packages",
            )
        largest = max(largest, difference)
    shapes = tuple(tuple(images.shape) for images in batches)
    return Check(against=against, shapes=shapes, largest_difference=largest, tolerance=tolerance)
