"""Runs that outlive the command which asked for them: their driver is a job on the cluster.

Run as a module this is that driver: `python -m resnet_cluster.cluster.detached RUN_DIR`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from resnet_cluster.cluster.cluster_job import start_driver
from resnet_cluster.cluster.connection import chosen_address, connected
from resnet_cluster.cluster.noise import NOISE_NAME, noise_in
from resnet_cluster.cluster.preflight import check_resources, check_space
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.cluster.submission import Claim, FoundRun, PlannedJob
from resnet_cluster.files import write_whole
from resnet_cluster.results import EventLog, last_attempt
from resnet_cluster.spec import load_resolved

ORDER_NAME = "detached.json"


def detach(planned: PlannedJob, runs_root: Path, address: str, claim: Claim) -> FoundRun:
    """Give a run's driver to the cluster as a job, and come back when it has begun.

    The run's folder, the data set and this package must be at the same paths on the head node.

    Args:
        planned: the job.
        runs_root: the folder of runs.
        address: the cluster's HOST:PORT.
        claim: finds or creates the run, once nothing stands in its way.

    Raises:
        PreflightError: the cluster cannot hold the job, or its head cannot start the driver.
        ClusterUnreachableError: no cluster answers at the address, or it takes no jobs.
    """
    check_space(runs_root, planned.plan.storage_bytes)
    with noise_in(runs_root / NOISE_NAME), connected(address) as cluster:
        check_resources(planned.job, cluster, planned.source)
        found = claim()
        order = {
            "job": planned.job.model_dump(mode="json"),
            "dataset_folder": str(planned.manifest.folder),
        }
        write_whole(found.run.run_dir / ORDER_NAME, json.dumps(order).encode())
        start_driver("resnet_cluster.cluster.detached", found.run.run_dir, cluster)
    return found


def main(run_dir: Path) -> None:
    """Drive a run as its order says; what happens is told by its events alone."""
    from resnet_cluster.cluster.driver import Driver  # Ray Train: for the driver alone, seconds

    order = json.loads((run_dir / ORDER_NAME).read_bytes())
    job = load_resolved(order["job"])
    attempt = last_attempt(EventLog(run_dir)) + 1
    stop = StopRequest()
    with (
        noise_in(RunFolder(run_dir).driver_log(attempt)),
        signals_to(stop),
        connected(chosen_address(None)) as cluster,
        signals_to(stop),  # Ray has set its own meanwhile
    ):
        driver = Driver(
            job=job,
            run_dir=run_dir,
            dataset_folder=Path(order["dataset_folder"]),
            cluster=cluster,
            tell=lambda news: None,
            stop=stop,
        )
        driver.drive()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
