"""One training, knowing nothing of Ray.

Read `run` first (the course from a job to its figures), then `loop` (steps and epochs), `engine`
(one step) and what it is made of: `gradients`, `batchnorm`, `ema`, `rate`, `optimizer`.
"""

from __future__ import annotations

from resnet_cluster.training.context import (
    BadSample,
    Context,
    EpochResult,
    FinalResult,
    LayerNorms,
    NormsResult,
    Outcome,
    Progress,
    Report,
    WeightsFile,
)
from resnet_cluster.training.local import LocalContext
from resnet_cluster.training.run import run

__all__ = [
    "BadSample",
    "Context",
    "EpochResult",
    "FinalResult",
    "LayerNorms",
    "LocalContext",
    "NormsResult",
    "Outcome",
    "Progress",
    "Report",
    "WeightsFile",
    "run",
]
