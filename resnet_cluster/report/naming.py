"""Networks by the paper's names."""

from __future__ import annotations

from resnet_cluster.spec import ModelSpec

_USUAL_SHORTCUT = {"cifar": "A", "imagenet": "B"}
"""The option that a name leaves out: A in section 4.2, B from 50 layers on ImageNet."""


def model_name(model: ModelSpec) -> str:
    """`plain-20`, `ResNet-20`, `ResNet-20 B`, `ResNet-34 A`, `ResNet-50 v1.5`."""
    is_plain = model.shortcut == "none"
    parts = [f"{'plain' if is_plain else 'ResNet'}-{model.depth}"]
    is_usual = model.shortcut == _USUAL_SHORTCUT[model.family]
    if not is_plain and not (is_usual and (model.family == "cifar" or model.depth >= 50)):
        parts.append(model.shortcut)
    if model.variant != "v1":
        parts.append(model.variant)
    if model.blur_pool:
        parts.append("BlurPool")
    return " ".join(parts)


def parameters_text(num_parameters: int) -> str:
    """As Table 6 prints it: `0.27M`."""
    return f"{num_parameters / 1e6:.2f}M"
