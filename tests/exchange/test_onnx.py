"""ONNX files: run by onnxruntime, on any number of images of any size."""

from __future__ import annotations

from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from test_exported_files import NUM_CLASSES, make_exported, make_model

from resnet_cluster.errors import IntegrityError, PreflightError
from resnet_cluster.exchange import check_onnx_is_there, onnx_file, write_onnx
from resnet_cluster.exchange.onnx_file import OPSET, TOLERANCE

SHAPES = [(1, 40, 40), (3, 41, 57), (2, 33, 96)]


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "cifar", "depth": 8, "shortcut": "A"},
        {"family": "cifar", "depth": 8, "shortcut": "none"},
        {"shortcut": "C", "blur_pool": True},
        {"depth": 50},
    ],
    ids=str,
)
def test_onnxruntime_gives_the_networks_outputs(changes: dict[str, Any], tmp_path: Path) -> None:
    exported, path = make_exported(make_model(**changes)), tmp_path / "net.onnx"
    check = write_onnx(path, exported)
    assert 0 <= check.largest_difference < check.tolerance == TOLERANCE
    assert check.shapes == ((4, 3, 40, 40), (1, 3, 56, 48))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.shape) == ("images", ["batch", 3, "height", "width"])
    assert (logits.name, logits.shape) == ("logits", ["batch", NUM_CLASSES])
    net = exported.net()
    for number, height, width in SHAPES:
        noise = torch.randn(number, 3, height, width)
        (found,) = session.run(None, {"images": noise.numpy()})
        with torch.no_grad():
            expected = net(noise)
        largest = float(expected.abs().max())
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4 * largest, rtol=0.0)


def test_what_is_in_the_file(tmp_path: Path) -> None:
    exported = make_exported(make_model(family="cifar", depth=8, shortcut="A"))
    write_onnx(tmp_path / "net.onnx", exported)
    write_onnx(tmp_path / "again.onnx", exported)
    content = (tmp_path / "net.onnx").read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert {prop.key: prop.value for prop in model.metadata_props} == exported.metadata
    # Nothing of where it was made: torch notes the lines of sources on each node.
    assert b"resnet.py" not in content
    assert str(Path(torch.__file__).parent).encode() not in content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.onnx", "net.onnx"]


def test_other_outputs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = make_exported(make_model(family="cifar", depth=8, shortcut="A"))
    bias = exported.weights["fc.bias"] + 0.01
    other = replace(exported, weights=exported.weights | {"fc.bias": bias})
    convert = onnx_file._converted
    monkeypatch.setattr(onnx_file, "_converted", lambda _, images: convert(other.net(), images))
    with pytest.raises(IntegrityError, match=r"onnxruntime .* gives other outputs"):
        write_onnx(tmp_path / "net.onnx", exported)


@pytest.mark.parametrize("absent", ["onnx", "onnxscript", "onnxruntime"])
def test_without_its_packages(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_onnx_is_there()
    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == absent else find(name))
    with pytest.raises(PreflightError, match=f"{absent}, which is not installed") as refused:
        check_onnx_is_there()
    assert refused.value.mend == "pip install 'resnet-cluster[onnx]'"
