"""The driver of a run, or of a sweep, as a job on the cluster: it outlives who asked for it."""

from __future__ import annotations

import secrets
import shlex
import sys
import time
from pathlib import Path

from ray.job_submission import JobSubmissionClient

from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.errors import ClusterUnreachableError, PreflightError
from resnet_cluster.results import EventLog, last_attempt

POLL_S = 0.2
AGENT_DEADLINE_S = 30.0
"""For the agent that starts jobs, on a head that has just started."""
START_DEADLINE_S = 60.0
"""From a job's submission to the first event of its driver: a process and its imports."""


def start_driver(module: str, run_dir: Path, cluster: Cluster) -> None:
    """Start a module on the head, with the folder as its argument, and see it begin an attempt.

    Args:
        module: of this package.
        run_dir: the folder of the run or sweep, at the same path there.
        cluster: that this process is connected to.

    Raises:
        PreflightError: the head cannot start it.
        ClusterUnreachableError: the cluster takes no jobs.
    """
    argv = [sys.executable, "-m", module, str(run_dir)]
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
