"""Our runs beside the figures of the paper."""

from __future__ import annotations

from resnet_cluster.report.build import Report, build_claims, build_report
from resnet_cluster.report.comparability import differences
from resnet_cluster.report.escaping import plain
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.render import Format, render
from resnet_cluster.report.verdicts import Verdict

__all__ = [
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
