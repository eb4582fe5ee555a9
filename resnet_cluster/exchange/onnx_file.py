"""ONNX files of any network, whose images may come in any number and of any size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_cluster.errors import PreflightError
from resnet_cluster.exchange.checking import Check, Exported, checked

OPSET = 18
TOLERANCE = 1e-4
"""Of a difference, relative to the largest output: batch normalisation goes into the convolutions'
weights, and sums have another order."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_OTHER_SIZE = (16, 8)
"""Pixels by which the second batch is higher and wider than the first."""


def check_onnx_is_there() -> None:
    """Refuse where the packages that write, read and run such files are not installed.

    Raises:
        PreflightError: one is not.
    """
    missing = [package for package in _PACKAGES if util.find_spec(package) is None]
    if missing:
        raise PreflightError(
            f"ONNX files need {' and '.join(missing)}, which is not installed",
            mend="pip install 'resnet-cluster[onnx]'",
        )


def write_onnx(part: Path, exported: Exported) -> Check:
    """Write the network, and run the file with onnxruntime on images of two sizes.

    Its input is `images`, float32 [batch, 3, height, width], its output `logits`, float32 [batch,
    classes]; the metadata is among the model's own.

    Raises:
        IntegrityError: that gives other outputs.
        OSError: the disk is full or cannot be written.
    """
    import onnx

    net, side = exported.net(), exported.preparation.image_size
    model = _converted(net, exported.images())
    _forget_where_it_was_made(model)
    onnx.helper.set_model_props(model, dict(exported.metadata))
    onnx.checker.check_model(model)
    part.write_bytes(model.SerializeToString(deterministic=True))
    higher, wider = _OTHER_SIZE
    other = exported.preparation.random_images(1, side + higher, side + wider)
    return checked(
        net,
        _reader(part),
        (exported.images(), other),
        against=f"onnxruntime {metadata.version('onnxruntime')}, opset {OPSET},",
        tolerance=TOLERANCE,
    )


def _converted(net: nn.Module, images: Tensor) -> Any:
    """The network as onnx's ModelProto."""
    free = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings(action="ignore"):  # of torch's own deprecations
        program = torch.onnx.export(
            net,
            (images,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({place: torch.export.Dim(name) for place, name in free.items()},),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _forget_where_it_was_made(model: Any) -> None:
    """Take off torch's notes on each node: they hold lines and paths of this machine's sources."""
    graph = model.graph
    for each in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del each.metadata_props[:]
    for each in (*graph.node, *graph.initializer):
        each.doc_string = ""


def _reader(part: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        part.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    return run
