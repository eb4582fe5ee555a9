"""Our runs beside the figures of the paper."""

from __future__ import annotations

from resnet_cluster.report.build import Report, build_claims, build_report
from resnet_cluster.report.comparability import differences
from resnet_cluster.report.escaping import plain
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.render import TELLING_OF_RUNS, Format, render
from resnet_cluster.report.verdicts import Verdict

__all__ = [
    "TELLING_OF_RUNS",
    "Format",
    "Report",
    "Verdict",
    "build_claims",
    "build_report",
    "differences",
    "model_name",
    "plain",
    "render",
]
