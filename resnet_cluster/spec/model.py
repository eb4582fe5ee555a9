"""The network that a job trains: one of the paper's, one of torchvision's, or the user's own."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from resnet_cluster.spec.base import Spec, SpecError

Family = Literal["imagenet", "cifar"]
Shortcut = Literal["none", "A", "B", "C"]
Variant = Literal["v1", "v1.5"]

Option = int | float | bool | str
"""What a factory may be given beside the number of classes."""

_OPTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_OPTION_TEXT = re.compile(r"[A-Za-z0-9_.+-]{0,64}")
_MAX_OPTIONS = 32


class PaperNetSpec(Spec):
    """A network of the paper: section 3.3 and Table 1 for `imagenet`, section 4.2 for `cifar`."""

    family: Family
    """`imagenet` (7x7 stem, four stages) or `cifar` (3x3 stem, three stages)."""
    depth: Annotated[int, Field(ge=1, le=10_000)]
    """Weighted layers: 18, 34, 50, 101 or 152 for imagenet; 6n+2 for cifar."""
    shortcut: Shortcut
    """`none` is the plain net; A pads with zeros, B projects where dimensions rise, C always."""
    variant: Variant = "v1"
    """Where a bottleneck has its stride: `v1` in the first 1x1 (the paper), `v1.5` in the 3x3."""
    blur_pool: bool = False
    """Whether a low pass comes before each convolution with a stride (Zhang 2019, where
    ffcv-imagenet has it); the paper has none."""


class TorchvisionNetSpec(Spec):
    """A classification network of torchvision, with the initialisation that it has there."""

    family: Literal["torchvision"]
    """`torchvision`."""
    arch: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")]
    """Its name there, such as `vgg16`, `vgg19` or `googlenet` (which has batch normalisation there,
    and is trained without its auxiliary classifiers)."""


def _options(given: Any) -> tuple[tuple[str, Option], ...]:
    """Names and values in the order of the names."""
    if not isinstance(given, dict):
        raise SpecError(
            "", "the options are not a section", mend="write {width: 2}, or {} for none"
        )
    if len(given) > _MAX_OPTIONS:
        raise SpecError("", f"more than {_MAX_OPTIONS} options", mend="give fewer")
    for name, value in given.items():
        if not isinstance(name, str) or not _OPTION_NAME.fullmatch(name) or name == "num_classes":
            mend = "names are those of the factory's arguments, but for num_classes"
            raise SpecError("", f"an option cannot be named {str(name)[:64]!r}", mend=mend)
        if not _is_option(value):
            mend = "give true, false, a finite number, or up to 64 of A-Z a-z 0-9 _ . + -"
            raise SpecError(name, f"the option {name} has no value that can be kept", mend=mend)
    return tuple(sorted(given.items()))


def _is_option(value: object) -> bool:
    if isinstance(value, str):
        return bool(_OPTION_TEXT.fullmatch(value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (bool, int)) and abs(value) < 2**63


Options = Annotated[
    tuple[tuple[str, Option], ...],
    PlainValidator(_options),
    PlainSerializer(dict, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object"}),
]


class CustomNetSpec(Spec):
    """A network of the user's: what a function in a Python module builds."""

    family: Literal["custom"]
    """`custom`."""
    entry: Annotated[
        str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$", max_length=200)
    ]
    """The function, as `package.module:factory`, in the working directory or installed. It is
    called with `num_classes` and the options, and returns a module that takes images
    (N, 3, H, W) to logits (N, num_classes)."""
    options: Options = ()
    """What the function is given by name beside `num_classes`; sweeps can vary it."""
    source_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Hash of the module and of what it imports from beside it; the tool sets it."""


ModelSpec = Annotated[
    PaperNetSpec | TorchvisionNetSpec | CustomNetSpec, Field(discriminator="family")
]
"""Any network."""
