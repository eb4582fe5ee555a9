"""Foreign tensors as a network's weights: what fits, and how what does not is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from weight_files import make_net, make_weights

from resnet_cluster.errors import IntegrityError
from resnet_cluster.exchange import ForeignWeights, fitted, weights_sha256

EXPECTED = make_weights(seed=1)
WEIGHTS = make_weights()


def fit(tensors: dict[str, Any], expected: dict[str, Tensor] = EXPECTED) -> dict[str, Tensor]:
    foreign = ForeignWeights(path=Path("w.pth"), format="torch", sha256="", tensors=tensors)
    return fitted(foreign, expected, what="ResNet-8 with 10 classes (digits)")


def without(*names: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in WEIGHTS.items() if name not in names}


def test_what_fits_is_taken_as_it_is_in_the_networks_order() -> None:
    found = fit(dict(reversed(WEIGHTS.items())))
    assert list(found) == list(EXPECTED)
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)
    make_net(seed=1).load_state_dict(found)


def test_memory_is_the_weights_own() -> None:
    tensor = torch.nn.Parameter(torch.zeros(1).expand(16))
    found = fit(WEIGHTS | {"bn1.weight": tensor})["bn1.weight"]
    assert type(found) is Tensor
    assert found.untyped_storage().nbytes() == 64
    assert not found.requires_grad


def test_counters_that_old_files_lack_are_zero() -> None:
    counters = [name for name in WEIGHTS if name.endswith("num_batches_tracked")]
    found = fit(without(*counters))
    assert all(found[name].item() == 0 for name in counters)
    assert found["fc.weight"].equal(WEIGHTS["fc.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(dtype: torch.dtype) -> None:
    half = {n: t.to(dtype) if t.is_floating_point() else t for n, t in WEIGHTS.items()}
    found = fit(half)
    assert all(found[name].dtype == EXPECTED[name].dtype for name in EXPECTED)
    assert all(found[name].to(dtype).equal(half[name]) for name in half if half[name].dim())


ODD = torch.ones(16)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (without("bn1.weight"), "missing: bn1.weight"),
        (
            without("bn1.weight", "bn1.bias", "fc.weight", "fc.bias", "conv1.weight"),
            "missing: conv1.weight, bn1.weight, bn1.bias and 2 more",
        ),
        (WEIGHTS | {"head.w": ODD}, "not in it: head.w"),
        (WEIGHTS | {f"head.{n}": ODD for n in range(5)}, "head.0, head.1, head.2 and 2 more"),
        (WEIGHTS | {"\x1b[31mred": ODD}, r"not in it: \x1b[31mred"),
        (WEIGHTS | {"bn1.bias": torch.ones(15)}, "bn1.bias ([15], not [16])"),
        (WEIGHTS | {"bn1.bias": 3}, "bn1.bias (int, not [16])"),
        (WEIGHTS | {"bn1.bias": ODD.to_sparse()}, "bn1.bias (Tensor, not [16])"),
        (WEIGHTS | {"bn1.bias": ODD.to("meta")}, "bn1.bias (Tensor, not [16])"),
        (WEIGHTS | {"bn1.bias": ODD.double()}, "another type: bn1.bias (float64)"),
        (WEIGHTS | {"bn1.bias": ODD.int()}, "another type: bn1.bias (int32)"),
        (WEIGHTS | {"bn1.bias": ODD.cfloat()}, "another type: bn1.bias (complex64)"),
        (WEIGHTS | {"bn1.num_batches_tracked": torch.tensor(1.0)}, "another type"),
        (WEIGHTS | {"bn1.bias": ODD.log() / 0}, "not finite: bn1.bias"),
        (WEIGHTS | {"fc.weight": torch.full((10, 64), torch.inf)}, "not finite: fc.weight"),
        (WEIGHTS | {"bn1.running_var": -ODD}, "variances below zero: bn1.running_var"),
        ({}, "missing: conv1.weight"),
    ],
)
def test_what_does_not_fit_is_named(tensors: dict[str, Any], says: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        fit(tensors)
    assert says in refused.value.message
    assert refused.value.message.isprintable()
    assert refused.value.mend


def test_another_number_of_classes_is_one_of_the_faults() -> None:
    with pytest.raises(IntegrityError, match=r"fc\.weight \(\[7, 64\], not") as refused:
        fit(make_weights(num_classes=7))
    assert refused.value.mend == "name a data set of 7 classes with --data"


def test_the_hash_is_of_the_content() -> None:
    whole = weights_sha256(WEIGHTS)
    assert weights_sha256(dict(reversed(WEIGHTS.items()))) == whole
    assert weights_sha256({n: t.clone() for n, t in WEIGHTS.items()}) == whole
    assert weights_sha256(WEIGHTS | {"bn1.bias": ODD}) != whole
    assert weights_sha256({"a": torch.zeros(2, 3)}) != weights_sha256({"a": torch.zeros(3, 2)})
    assert weights_sha256({"a": torch.zeros(2)}) != weights_sha256({"b": torch.zeros(2)})
    turned = torch.arange(6.0).view(2, 3)
    assert weights_sha256({"a": turned.T}) == weights_sha256({"a": turned.T.contiguous()})


NAMES = st.sampled_from([*EXPECTED, "else"]) | st.text(max_size=8)
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64])
TENSORS = st.builds(
    lambda shape, dtype: torch.zeros(shape, dtype=dtype),
    st.lists(st.integers(0, 4), max_size=4),
    DTYPES,
)
VALUES = TENSORS | st.none() | st.text(max_size=3) | st.sampled_from(list(WEIGHTS.values()))


@settings(max_examples=200, deadline=None)
@given(changes=st.dictionaries(NAMES, VALUES, max_size=5), dropped=st.sets(NAMES, max_size=3))
def test_any_content_fits_wholly_or_is_refused(changes: dict[str, Any], dropped: set[str]) -> None:
    tensors = {n: value for n, value in (WEIGHTS | changes).items() if n not in dropped}
    try:
        found = fit(tensors)
    except IntegrityError as error:
        refused = error
    else:
        make_net(seed=1).load_state_dict(found, strict=True)
        return
    assert refused.message.isprintable()
