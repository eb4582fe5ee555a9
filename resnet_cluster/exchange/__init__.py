"""Weights to and from other tools: foreign files are read without running code, and never guessed.

Read in this order: `foreign` (a file of somebody else's), `fitting` (its tensors as a network's
weights), then what is written for others.
"""

from __future__ import annotations

from resnet_cluster.exchange.fitting import fitted, weights_sha256
from resnet_cluster.exchange.foreign import JOB_KEY, ForeignWeights, read_foreign

__all__ = ["JOB_KEY", "ForeignWeights", "fitted", "read_foreign", "weights_sha256"]
