"""Networks of a user's, for training."""

from __future__ import annotations

from torch import nn


def dropping(num_classes: int, width: int = 4) -> nn.Module:
    """One that draws while it trains, with and without spatial structure."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout2d(0.3),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(4 * width, num_classes),
    )


def unnormalised(num_classes: int) -> nn.Module:
    """One without batch normalisation, for images of 8x8."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, num_classes)
    )
