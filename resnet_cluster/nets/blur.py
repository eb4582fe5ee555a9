"""BlurPool: a low pass before what subsamples. The paper's nets have none.

Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019. Here it is where
ffcv-imagenet's recipes have it: before every convolution with a stride and 16 channels or more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_FEWEST_CHANNELS = 16


class BlurredConv2d(nn.Conv2d):
    """A convolution whose images first go through the binomial filter [1 2 1] x [1 2 1] / 16.

    Zeros lie around the images. The weight has the name that it has without the filter.

    Args:
        conv: the convolution, whose weight is taken over.
    """

    blur: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        assert conv.bias is None
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            kernel_size=conv.kernel_size,  # type: ignore[arg-type]  # always a pair here
            stride=conv.stride,  # type: ignore[arg-type]
            padding=conv.padding,  # type: ignore[arg-type]
            bias=False,
            device="meta",
        )
        self.weight = conv.weight
        line = torch.tensor([1.0, 2.0, 1.0], device=conv.weight.device)
        filters = (line[:, None] * line / 16).expand(conv.in_channels, 1, 3, 3)
        self.register_buffer("blur", filters.clone(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        blurred = functional.conv2d(
            input, self.blur.to(input.dtype), padding=1, groups=self.in_channels
        )
        return super().forward(blurred)


def blur_strides(net: nn.Module) -> None:
    """Put the filter before every convolution of a net that subsamples 16 channels or more."""
    for name, module in list(net.named_children()):
        if isinstance(module, nn.Conv2d):
            if max(module.stride) > 1 and module.in_channels >= _FEWEST_CHANNELS:
                setattr(net, name, BlurredConv2d(module))
        else:
            blur_strides(module)
