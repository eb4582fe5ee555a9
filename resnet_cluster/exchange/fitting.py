"""Foreign tensors as the weights of a network: every name, shape and type as it has them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from resnet_cluster.errors import IntegrityError
from resnet_cluster.exchange.foreign import ForeignWeights
from resnet_cluster.spec.source import printable

NUM_NAMED = 3
"""Keys of each fault that a message names."""

_COUNTER = "num_batches_tracked"
_WIDENED = (torch.float16, torch.bfloat16)
_CLASSIFIER = {"fc.weight", "fc.bias"}


def fitted(
    foreign: ForeignWeights, expected: Mapping[str, Tensor], *, what: str
) -> dict[str, Tensor]:
    """The weights of a network, in its own order and types.

    Counters of batches, which no evaluation reads, are zero where the file has none: torch had none
    before version 0.4.1. Half precision is widened, which changes no value.

    Args:
        foreign: what a file holds.
        expected: the network's state dict; only names, shapes and types of it are looked at.
        what: names the network in errors.

    Raises:
        IntegrityError: names are missing or too many, or shapes, types or values cannot be meant.
    """
    _check_names_and_shapes(foreign, expected, what)
    weights = {}
    for name, like in expected.items():
        given = foreign.tensors.get(name)
        weights[name] = torch.zeros_like(like, device="cpu") if given is None else given
    _check_types(foreign, weights, expected)
    weights = {name: _own(tensor, expected[name]) for name, tensor in weights.items()}
    _check_values(foreign, weights)
    return weights


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and values, whatever file they come from."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _check_names_and_shapes(
    foreign: ForeignWeights, expected: Mapping[str, Tensor], what: str
) -> None:
    given = foreign.tensors
    missing = [name for name in expected if name not in given and not name.endswith(_COUNTER)]
    extra = [name for name in given if name not in expected]
    shared = [name for name in expected if name in given]
    others = [name for name in shared if _shape(given[name]) != list(expected[name].shape)]
    if not (missing or extra or others):
        return
    faults = (
        _some("missing", missing),
        _some("not in it", extra),
        _some("of another shape", (_both_shapes(n, given[n], expected[n]) for n in others)),
    )
    raise IntegrityError(
        f"{_name(foreign)}: not the weights of {what}; {'; '.join(filter(None, faults))}",
        mend=_mend(missing, extra, others, given),
    )


def _mend(missing: list[str], extra: list[str], others: list[str], given: Mapping[str, Any]) -> str:
    if not missing and not extra and set(others) <= _CLASSIFIER:
        shape = _shape(given[others[0]])
        return f"name a data set of {shape[0]} classes with --data" if shape else "mend the file"
    return (
        "say which network it is in the job, or with --set model.depth=, model.shortcut= and "
        "model.family=; names are torchvision's, and none is changed but the prefixes module. and "
        "_orig_mod."
    )


def _some(fault: str, names: Iterable[str]) -> str:
    """`missing: a, b, c and 7 more`."""
    found = [printable(name, limit=120) for name in names]
    more = f" and {len(found) - NUM_NAMED} more" if len(found) > NUM_NAMED else ""
    return f"{fault}: {', '.join(found[:NUM_NAMED])}{more}" if found else ""


def _both_shapes(name: str, given: Any, like: Tensor) -> str:
    return f"{name} ({_shape(given) or type(given).__name__}, not {list(like.shape)})"


def _shape(value: Any) -> list[int] | None:
    """The shape of a tensor with ordinary memory; None for anything else."""
    is_plain = (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
    return list(value.shape) if is_plain else None


def _check_types(
    foreign: ForeignWeights, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    odd = [
        f"{name} ({str(tensor.dtype).removeprefix('torch.')})"
        for name, tensor in weights.items()
        if tensor.dtype != expected[name].dtype
        and not (expected[name].is_floating_point() and tensor.dtype in _WIDENED)
    ]
    if odd:
        raise IntegrityError(
            f"{_name(foreign)}: {_some('of another type', odd)}",
            mend="save them as float32, which the networks here compute in, and counters as int64",
        )


def _check_values(foreign: ForeignWeights, weights: Mapping[str, Tensor]) -> None:
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise IntegrityError(
            f"{_name(foreign)}: {_some('not finite', broken)}",
            mend="take weights from before the training diverged",
        )
    below = [n for n, tensor in weights.items() if n.endswith("running_var") and tensor.min() < 0]
    if below:
        raise IntegrityError(
            f"{_name(foreign)}: {_some('variances below zero', below)}",
            mend="take the weights from where they were trained, again",
        )


def _own(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy with memory of its own, whatever views and subclasses the file had."""
    plain = tensor.detach().as_subclass(Tensor)
    return plain.to(like.dtype).clone(memory_format=torch.contiguous_format)


def _name(foreign: ForeignWeights) -> str:
    return printable(str(foreign.path), limit=400)
