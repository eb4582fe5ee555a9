"""Safetensors files of any network, with all that is needed to use it in their metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from resnet_cluster.errors import IntegrityError
from resnet_cluster.exchange.checking import Check, Exported, checked
from resnet_cluster.exchange.fitting import fitted
from resnet_cluster.exchange.foreign import read_foreign
from resnet_cluster.nets import build_model

_ALIGNMENT = 8


def write_safetensors(part: Path, exported: Exported) -> Check:
    """Write weights and metadata, and read them back as `import` does.

    Equal weights and metadata make an equal file.

    Raises:
        IntegrityError: what is read differs.
        OSError: the disk is full or cannot be written.
    """
    part.write_bytes(as_safetensors(exported.weights, exported.metadata))
    foreign = read_foreign(part)
    net = exported.net()
    other = build_model(exported.model, exported.num_classes).eval()
    other.load_state_dict(fitted(foreign, net.state_dict(), what="the run's network"))
    if foreign.metadata != exported.metadata:
        raise IntegrityError("the metadata differs once it is read", mend="report it")
    return checked(net, other, (exported.images(),), against="the file as read back")


def as_safetensors(weights: dict[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The file's content; its own writer would put the metadata into another order each time."""
    from safetensors.torch import save

    content = save({name: tensor.contiguous().clone() for name, tensor in weights.items()})
    end = 8 + int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items()))} | json.loads(content[8:end])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + content[end:]
