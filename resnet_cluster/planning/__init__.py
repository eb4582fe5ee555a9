"""What a job will do, need and cost, before anything is started."""

from __future__ import annotations

from resnet_cluster.planning.estimate import (
    Probe,
    RunEstimate,
    WantedProbe,
    estimate_run,
    makespan,
    wanted_probes,
)
from resnet_cluster.planning.facts import DataFacts
from resnet_cluster.planning.plan import Plan, check_model, plan
from resnet_cluster.planning.present import SCHEMA_VERSION, as_json, as_rows
from resnet_cluster.planning.workload import SizedSteps, Workload, workload

__all__ = [
    "SCHEMA_VERSION",
    "DataFacts",
    "Plan",
    "Probe",
    "RunEstimate",
    "SizedSteps",
    "WantedProbe",
    "Workload",
    "as_json",
    "as_rows",
    "check_model",
    "estimate_run",
    "makespan",
    "plan",
    "wanted_probes",
    "workload",
]
