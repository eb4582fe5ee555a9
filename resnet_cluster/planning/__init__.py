"""What a job will do, need and cost, before anything is started."""

from __future__ import annotations

from resnet_cluster.planning.facts import DataFacts
from resnet_cluster.planning.plan import Plan, check_model, plan
from resnet_cluster.planning.present import SCHEMA_VERSION, as_json, as_rows

__all__ = ["SCHEMA_VERSION", "DataFacts", "Plan", "as_json", "as_rows", "check_model", "plan"]
