"""Networks by the paper's names."""

from __future__ import annotations

import json

from resnet_cluster.spec import (
    CustomNetSpec,
    Family,
    ModelSpec,
    PaperNetSpec,
    Shortcut,
    TorchvisionNetSpec,
)

_USUAL_SHORTCUT = {"cifar": "A", "imagenet": "B"}
"""The option that a name leaves out: A in section 4.2, B from 50 layers on ImageNet."""


def model_name(model: ModelSpec) -> str:
    """`plain-20`, `ResNet-20 B`, `ResNet-50 v1.5`; `vgg16`; `wide_net(width=2)`."""
    match model:
        case PaperNetSpec():
            return _paper_name(model)
        case TorchvisionNetSpec(arch=arch):
            return arch
        case CustomNetSpec():
            options = ", ".join(f"{name}={json.dumps(value)}" for name, value in model.options)
            return f"{model.entry.partition(':')[2]}({options})"


def depth_of(model: ModelSpec) -> int | None:
    """Layers of a network of the paper's kinds; None of any other."""
    return model.depth if isinstance(model, PaperNetSpec) else None


def shortcut_of(model: ModelSpec) -> Shortcut | None:
    """Its shortcuts; None of a network of another kind."""
    return model.shortcut if isinstance(model, PaperNetSpec) else None


def arch_of(model: ModelSpec) -> str | None:
    """torchvision's name of a network of torchvision's; None of any other."""
    return model.arch if isinstance(model, TorchvisionNetSpec) else None


def papers_net(model: ModelSpec) -> tuple[Family, int, Shortcut] | None:
    """Family, depth and shortcut of a network that is wholly as the paper has it."""
    if not isinstance(model, PaperNetSpec) or model.variant != "v1" or model.blur_pool:
        return None
    return model.family, model.depth, model.shortcut


def _paper_name(model: PaperNetSpec) -> str:
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
