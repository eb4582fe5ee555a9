"""Weights to and from other tools: foreign files are read without running code, and never guessed.

Read in this order: `foreign` (a file of somebody else's), `fitting` (its tensors as a network's
weights), `preparation` (of images) and `checking` (that what is written gives the same outputs);
then the files that are written for others.
"""

from __future__ import annotations

from resnet_cluster.exchange.checking import Check, Exported
from resnet_cluster.exchange.fitting import fitted, weights_sha256
from resnet_cluster.exchange.foreign import DATASET_KEY, JOB_KEY, ForeignWeights, read_foreign
from resnet_cluster.exchange.onnx_file import check_onnx_is_there, write_onnx
from resnet_cluster.exchange.preparation import Preparation
from resnet_cluster.exchange.safetensors_file import write_safetensors
from resnet_cluster.exchange.torchvision_file import check_torchvision_has, write_torchvision

__all__ = [
    "DATASET_KEY",
    "JOB_KEY",
    "Check",
    "Exported",
    "ForeignWeights",
    "Preparation",
    "check_onnx_is_there",
    "check_torchvision_has",
    "fitted",
    "read_foreign",
    "weights_sha256",
    "write_onnx",
    "write_safetensors",
    "write_torchvision",
]
