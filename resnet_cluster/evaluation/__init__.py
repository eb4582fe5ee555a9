"""Protocols: from a network and a split to published errors."""

from __future__ import annotations

from resnet_cluster.evaluation.parity import Pair, Parity, compare_paths
from resnet_cluster.evaluation.score import Score, Tally, Totals, totals_of
from resnet_cluster.evaluation.single import evaluate_single
from resnet_cluster.evaluation.views import ViewBatch, evaluate_views, padded_ten_crops

__all__ = [
    "Pair",
    "Parity",
    "Score",
    "Tally",
    "Totals",
    "ViewBatch",
    "compare_paths",
    "evaluate_single",
    "evaluate_views",
    "padded_ten_crops",
    "totals_of",
]
