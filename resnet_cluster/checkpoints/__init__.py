"""Save, verify and find checkpoints and weights; ours alone, Ray never holds one."""

from __future__ import annotations

from resnet_cluster.checkpoints.folder import Checkpoint, CheckpointFolder
from resnet_cluster.checkpoints.weights import load_weights, save_weights

__all__ = ["Checkpoint", "CheckpointFolder", "load_weights", "save_weights"]
