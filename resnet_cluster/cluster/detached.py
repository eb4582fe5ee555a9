"""Runs that outlive the command which asked for them: their driver is a job on the cluster.

Run as a module this is that driver: `python -m resnet_cluster.cluster.detached RUN_DIR`.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
import time
from pathlib import Path

from ray.job_submission import JobSubmissionClient

from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.connection import chosen_address, connected
from resnet_cluster.cluster.noise import NOISE_NAME, noise_in
from resnet_cluster.cluster.preflight import check_resources, check_space
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.cluster.submission import Claim, FoundRun, PlannedJob
from resnet_cluster.errors import ClusterUnreachableError, PreflightError
from resnet_cluster.files import write_whole
from resnet_cluster.results import EventLog, last_attempt
from resnet_cluster.spec import load_resolved

ORDER_NAME = "detached.json"
POLL_S = 0.2
AGENT_DEADLINE_S = 30.0
"""For the agent that starts jobs, on a head that has just started."""
START_DEADLINE_S = 60.0
"""From a job's submission to the first event of its driver: a process and its imports."""


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
        _submit(found.run.run_dir, cluster)
    return found


def _submit(run_dir: Path, cluster: Cluster) -> None:
    argv = [sys.executable, "-m", "resnet_cluster.cluster.detached", str(run_dir)]
    attempt = last_attempt(EventLog(run_dir)) + 1
    try:
        if cluster.dashboard is None:
            raise RuntimeError("it has no dashboard")
        client = JobSubmissionClient(cluster.dashboard)
        submission_id = f"{run_dir.name}-{attempt:03d}-{secrets.token_hex(2)}"
        job_id = _submit_job(client, shlex.join(argv), submission_id)
        _await_start(client, job_id, run_dir, attempt)
    except (ConnectionError, RuntimeError) as error:
        raise ClusterUnreachableError(
            f"{cluster.place} takes no jobs: {error}",
            mend="start its head with its dashboard, and where the machine has another Ray cluster "
            "with a --dashboard-agent-listen-port of its own; or submit without --detach",
        ) from error


def _submit_job(client: JobSubmissionClient, entrypoint: str, submission_id: str) -> str:
    """Submit to a head that may have started a moment ago: its agent for jobs comes last."""
    deadline = time.monotonic() + AGENT_DEADLINE_S
    while True:
        try:
            return client.submit_job(entrypoint=entrypoint, submission_id=submission_id)
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def _await_start(client: JobSubmissionClient, job_id: str, run_dir: Path, attempt: int) -> None:
    """See the driver begin: until then the run would seem to be as its last attempt left it."""
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        is_late = time.monotonic() > deadline
        is_over = client.get_job_status(job_id).is_terminal()
        if f"attempt-{attempt:03d}-started" in EventLog(run_dir).names():
            return
        if is_over or is_late:
            client.stop_job(job_id)
            raise PreflightError(
                f"the head of the cluster could not start the driver of {run_dir.name}",
                mend=f"see that {sys.executable} and {run_dir} are there on the head too; "
                f"`ray job logs {job_id}` shows more",
            )
        time.sleep(POLL_S)


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
