"""Files for other tools: read back by those, they give the outputs of the run's network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torchvision import models, transforms
from weight_files import as_safetensors

from resnet_cluster.errors import IntegrityError, UsageError
from resnet_cluster.exchange import (
    Exported,
    Preparation,
    check_torchvision_has,
    read_foreign,
    write_safetensors,
    write_torchvision,
)
from resnet_cluster.exchange.checking import checked
from resnet_cluster.exchange.safetensors_file import as_safetensors as as_own_safetensors
from resnet_cluster.nets import build_model
from resnet_cluster.spec import (
    AugmentSpec,
    DataSpec,
    ModelSpec,
    PaperNetSpec,
    TorchvisionNetSpec,
    ViewSpec,
)

NUM_CLASSES = 7
LIKE_TORCHVISIONS = [
    {"depth": 18},
    {"depth": 50, "variant": "v1.5"},
]
"""The deeper ones are compared in tests/nets."""
ONLY_OURS: list[tuple[dict[str, Any], str]] = [
    ({"family": "cifar", "depth": 8}, "four stages"),
    ({"shortcut": "none"}, "no plain networks"),
    ({"shortcut": "A"}, "option B, and this one's of A"),
    ({"shortcut": "C"}, "option B, and this one's of C"),
    ({"depth": 50}, "stride in the 3x3"),
    ({"depth": 50, "shortcut": "A", "variant": "v1.5"}, "option B"),
    ({"blur_pool": True}, "no BlurPool"),
]


def make_model(**changes: Any) -> PaperNetSpec:
    return PaperNetSpec(**({"family": "imagenet", "depth": 18, "shortcut": "B"} | changes))


def make_preparation(**changes: Any) -> Preparation:
    data = DataSpec(name="any", augment=AugmentSpec(pad=0, flip=False), normalize="channel_mean")
    fields: dict[str, Any] = {
        "data": data,
        "image_size": 40,
        "channel_mean": np.array([120.0, 110.0, 100.0]),
        "channel_std": np.array([60.0, 61.0, 62.0]),
        "pixel_mean": None,
    }
    return Preparation(**(fields | changes))


def make_exported(model: ModelSpec) -> Exported:
    """A network with weights drawn at random, and running statistics of noise."""
    torch.manual_seed(1)
    net = build_model(model, NUM_CLASSES)
    preparation = make_preparation()
    with torch.no_grad():
        net(preparation.random_images(2, 40, 40))
    return Exported(
        model=model,
        num_classes=NUM_CLASSES,
        weights=dict(net.state_dict()),
        preparation=preparation,
        metadata={"resnet_cluster.name": "any", "b": "\u00e9\n", "a": json.dumps(["x"])},
    )


@pytest.mark.parametrize("changes", LIKE_TORCHVISIONS, ids=lambda changes: str(changes["depth"]))
def test_torchvisions_class_loads_it(changes: dict[str, Any], tmp_path: Path) -> None:
    model, path = make_model(**changes), tmp_path / "net.pth"
    check_torchvision_has(model)
    exported = make_exported(model)
    check = write_torchvision(path, exported)
    assert (check.largest_difference, check.tolerance) == (0.0, 0.0)
    assert check.shapes == ((4, 3, 40, 40),)
    assert check.against == f"torchvision's resnet{model.depth}"
    net: nn.Module = models.get_model(f"resnet{model.depth}", num_classes=NUM_CLASSES)
    net.load_state_dict(torch.load(path, weights_only=True))
    images = torch.randn(2, 3, 50, 60)
    with torch.no_grad():
        assert torch.equal(net.eval()(images), exported.net()(images))


@pytest.mark.parametrize("arch", ["mobilenet_v3_small", "googlenet"])
def test_networks_of_torchvisions_go_back_to_it(arch: str, tmp_path: Path) -> None:
    """In whatever layout the run's weights lie."""
    model = TorchvisionNetSpec(family="torchvision", arch=arch)
    exported, path = make_exported(model), tmp_path / "net.pth"
    check_torchvision_has(model)
    weights = {
        name: tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in exported.weights.items()
    }
    check = write_torchvision(path, replace(exported, weights=weights))
    assert (check.largest_difference, check.against) == (0.0, f"torchvision's {arch}")


@pytest.mark.parametrize(("changes", "says"), ONLY_OURS)
def test_networks_that_torchvision_has_not(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        check_torchvision_has(make_model(**changes))
    assert "--to safetensors" in refused.value.mend


@pytest.mark.parametrize(
    "changes", [{}, *(changes for changes, _ in ONLY_OURS)], ids=lambda changes: str(changes)
)
def test_safetensors_of_any_network(changes: dict[str, Any], tmp_path: Path) -> None:
    exported, path = make_exported(make_model(**changes)), tmp_path / "net.safetensors"
    check = write_safetensors(path, exported)
    assert (check.largest_difference, check.tolerance) == (0.0, 0.0)
    found = load_file(path)
    assert found.keys() == exported.weights.keys()
    assert all(torch.equal(found[name], exported.weights[name]) for name in found)
    with safe_open(path, "pt") as file:
        assert file.metadata() == exported.metadata
    assert read_foreign(path).metadata == exported.metadata


def test_equal_weights_make_equal_safetensors() -> None:
    exported = make_exported(make_model(family="cifar", depth=8))
    metadata = {str(number): str(number) for number in range(20)}
    turned = dict(reversed(exported.weights.items())), dict(reversed(metadata.items()))
    content = as_own_safetensors(exported.weights, metadata)
    assert as_own_safetensors(*turned) == content
    # But for the order of the metadata it is what the format's own writer writes.
    assert len(content) == len(as_safetensors(exported.weights, metadata))
    assert int.from_bytes(content[:8], "little") % 8 == 0


@pytest.mark.parametrize("write", [write_torchvision, write_safetensors])
def test_other_outputs_are_refused(write: Any, tmp_path: Path) -> None:
    class Changed(Exported):
        def net(self) -> nn.Module:
            other = make_exported(self.model).weights
            other["fc.bias"] = other["fc.bias"] + 1e-6
            return replace(make_exported(self.model), weights=other).net()

    exported = make_exported(make_model())
    fields = {name: getattr(exported, name) for name in exported.__dataclass_fields__}
    with pytest.raises(IntegrityError, match="gives other outputs") as refused:
        write(tmp_path / "net", Changed(**fields))
    assert "nothing was written" in refused.value.message


@pytest.mark.parametrize(
    ("offset", "passes"), [(0.0, True), (5e-5, True), (2e-4, False), (float("nan"), False)]
)
def test_the_tolerance(offset: float, passes: bool) -> None:
    def other(images: torch.Tensor) -> torch.Tensor:
        return images + offset * torch.tensor([1.0, 0.0])

    images = torch.tensor([[1.0, -0.5]])
    arguments: Any = (nn.Identity(), other, (images, images))
    if not passes:
        with pytest.raises(IntegrityError, match="gives other outputs"):
            checked(*arguments, against="it", tolerance=1e-4)
        return
    found = checked(*arguments, against="it", tolerance=1e-4)
    assert found.largest_difference == pytest.approx(offset, rel=1e-2)


def test_weights_that_are_not_the_networks() -> None:
    exported = replace(make_exported(make_model()), model=make_model(depth=34))
    with pytest.raises(IntegrityError, match="do not fit"):
        exported.net()


class TestPreparation:
    def test_it_is_torchvisions(self) -> None:
        preparation = make_preparation()
        words = preparation.in_words("")
        assert words.endswith(
            "ToTensor and Normalize((0.470588, 0.431373, 0.392157), (0.235294, 0.239216, 0.243137))"
        )
        images = preparation.random_images(3, 20, 30)
        assert torch.equal(images, preparation.random_images(3, 20, 30))
        mean, std = preparation.channel_mean / 255, preparation.channel_std / 255
        pixels = images * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
        levels = (pixels * 255).round()
        assert (levels.min(), levels.max()) == (0, 255)
        normalize = transforms.Normalize(mean.tolist(), std.tolist())
        torch.testing.assert_close(normalize(levels.float() / 255), images)

    def test_of_a_mean_image(self) -> None:
        mean = np.random.default_rng(0).uniform(0, 255, (40, 40, 3)).astype(np.float32)
        preparation = make_preparation(channel_std=None, pixel_mean=mean)
        assert preparation.mean_image is not None
        assert np.array_equal(preparation.mean_image, np.moveaxis(mean, 2, 0))
        assert "less the mean image in x.npy" in preparation.in_words("x.npy")
        whole = make_preparation(channel_std=None)
        levels = whole.random_images(1, 40, 40) + torch.tensor([120.0, 110, 100]).view(3, 1, 1)
        ours = preparation.random_images(1, 40, 40)
        torch.testing.assert_close(ours, levels - torch.from_numpy(preparation.mean_image))
        other_size = preparation.random_images(1, 48, 40)
        assert torch.equal(other_size, whole.random_images(1, 48, 40))

    def test_as_plain_values(self) -> None:
        data = make_preparation().data.model_copy(update={"view": ViewSpec(resize=48, size=40)})
        preparation = make_preparation(data=data, channel_std=None)
        assert preparation.as_json("") == {
            "kind": "channel_mean",
            "resize": 48,
            "size": 40,
            "unit": "grey levels, 0 to 255",
            "mean": [120.0, 110.0, 100.0],
            "std": None,
            "mean_image": None,
        }
        assert preparation.in_words("") == (
            "RGB, the shorter side resized to 48, its centre of 40x40, in grey levels of 0 to 255, "
            "less (120, 110, 100)"
        )
