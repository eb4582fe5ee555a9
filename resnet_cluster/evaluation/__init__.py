"""Protocols: from a network and a split to published errors.

Whoever asks only what was kept of a run needs no torch, whose import takes longer than the answer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from resnet_cluster.evaluation.contents import (
    Contents,
    PredictionsFile,
    break_seal,
    predictions_folder,
    read_contents,
    record_type,
    seal_predictions,
    total_bytes,
)
from resnet_cluster.evaluation.correctness import wrong_images

if TYPE_CHECKING:
    from resnet_cluster.evaluation.ensemble import EnsembleScore, evaluate_ensemble
    from resnet_cluster.evaluation.layers import watched
    from resnet_cluster.evaluation.parity import Pair, Parity, compare_paths
    from resnet_cluster.evaluation.predictions import Predictions, PredictionsWriter
    from resnet_cluster.evaluation.responses import LayerResponse, measure_responses
    from resnet_cluster.evaluation.score import Score, Tally, Totals, totals_of
    from resnet_cluster.evaluation.selection import Choice, select_ensemble
    from resnet_cluster.evaluation.single import evaluate_single
    from resnet_cluster.evaluation.views import ViewBatch, evaluate_views, padded_ten_crops

_WITH_TORCH = {
    "ensemble": ("EnsembleScore", "evaluate_ensemble"),
    "layers": ("watched",),
    "parity": ("Pair", "Parity", "compare_paths"),
    "predictions": ("Predictions", "PredictionsWriter"),
    "responses": ("LayerResponse", "measure_responses"),
    "score": ("Score", "Tally", "Totals", "totals_of"),
    "selection": ("Choice", "select_ensemble"),
    "single": ("evaluate_single",),
    "views": ("ViewBatch", "evaluate_views", "padded_ten_crops"),
}
"""Names of each module that imports torch: the module is imported with the first use of one."""

__all__ = [
    "Choice",
    "Contents",
    "EnsembleScore",
    "LayerResponse",
    "Pair",
    "Parity",
    "Predictions",
    "PredictionsFile",
    "PredictionsWriter",
    "Score",
    "Tally",
    "Totals",
    "ViewBatch",
    "break_seal",
    "compare_paths",
    "evaluate_ensemble",
    "evaluate_single",
    "evaluate_views",
    "measure_responses",
    "padded_ten_crops",
    "predictions_folder",
    "read_contents",
    "record_type",
    "seal_predictions",
    "select_ensemble",
    "total_bytes",
    "totals_of",
    "watched",
    "wrong_images",
]


def __getattr__(name: str) -> Any:
    for module, names in _WITH_TORCH.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
