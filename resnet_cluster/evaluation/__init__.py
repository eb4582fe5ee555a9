"""Protocols: from a network and a split to published errors."""

from __future__ import annotations

from resnet_cluster.evaluation.ensemble import EnsembleScore, evaluate_ensemble
from resnet_cluster.evaluation.layers import watched
from resnet_cluster.evaluation.parity import Pair, Parity, compare_paths
from resnet_cluster.evaluation.predictions import (
    Contents,
    Predictions,
    PredictionsFile,
    PredictionsWriter,
    break_seal,
    read_contents,
    record_type,
    seal_predictions,
    total_bytes,
)
from resnet_cluster.evaluation.responses import LayerResponse, measure_responses
from resnet_cluster.evaluation.score import Score, Tally, Totals, totals_of
from resnet_cluster.evaluation.selection import Choice, select_ensemble
from resnet_cluster.evaluation.single import evaluate_single
from resnet_cluster.evaluation.views import ViewBatch, evaluate_views, padded_ten_crops

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
    "read_contents",
    "record_type",
    "seal_predictions",
    "select_ensemble",
    "total_bytes",
    "totals_of",
    "watched",
]
