"""Measures a run's weights on several workers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from resnet_cluster.cluster.capacity import Cluster, cpus_per_worker, own_machine
from resnet_cluster.cluster.connection import chosen_address, connected
from resnet_cluster.cluster.noise import NOISE_NAME, noise_in
from resnet_cluster.cluster.preflight import check_resources
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.errors import RunFailedError
from resnet_cluster.spec import JobSpec

if TYPE_CHECKING:
    from resnet_cluster.cluster.progress import ProgressBoard

POLL_S = 0.2
START_DEADLINE_S = 300.0
"""From the start to the first view: processes, imports, the data."""
LAST_WORD_DEADLINE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is to be measured, and where."""

    job: JobSpec
    """The run's; `evaluate` names the one protocol, and `resources` how many workers."""
    run_dir: Path
    dataset_folder: Path
    """The same path on every node."""
    weights: Path
    weights_sha256: str
    step: int
    """Of the weights."""
    address: str | None
    """Ray cluster to join; None takes RAY_ADDRESS, or else starts one in this process."""


Display = Callable[[TextIO], contextlib.AbstractContextManager[Callable[[int, int], None]]]
"""Opens a display on the real stderr; Ray speaks on this process's. It is told the views of one
worker that are done, and all of them."""


def measure_on_workers(asked: Measurement, display: Display) -> str:
    """Measure, and let the first worker record the figure.

    Args:
        asked: what and where.
        display: shows how far it is.

    Returns:
        Why the predictions were not kept; empty where they were.

    Raises:
        PreflightError: the machine or the cluster cannot hold the workers.
        ClusterUnreachableError: no cluster answers at the address.
        RunFailedError: a worker failed, or none began in time.
    """
    address = chosen_address(asked.address)
    if address is None:
        check_resources(asked.job, own_machine())
    with contextlib.ExitStack() as stack:
        _, real_err = stack.enter_context(noise_in(asked.run_dir.parent / NOISE_NAME))
        stop = StopRequest()
        stack.enter_context(signals_to(stop, at_most=1))
        cluster = stack.enter_context(connected(address))
        stack.enter_context(signals_to(stop))  # Ray has set its own meanwhile
        check_resources(asked.job, cluster)
        stop.heed()
        on_progress = stack.enter_context(display(real_err))
        return _measured(asked, cluster, stop, on_progress)


def _measured(
    asked: Measurement,
    cluster: Cluster,
    stop: StopRequest,
    on_progress: Callable[[int, int], None],
) -> str:
    from resnet_cluster.cluster.driver import cause  # Ray Train: seconds to import
    from resnet_cluster.cluster.progress import start_board
    from resnet_cluster.cluster.task import MeasureTask
    from resnet_cluster.cluster.trainer import build_measurer, start_coordinator

    start_coordinator()
    board = start_board(f"measuring-{asked.run_dir.name}")
    task = MeasureTask(
        run_dir=asked.run_dir,
        job=asked.job.model_dump(mode="json"),
        dataset_folder=asked.dataset_folder,
        weights=asked.weights,
        weights_sha256=asked.weights_sha256,
        step=asked.step,
        num_cpus=cpus_per_worker(asked.job, cluster),
        board=board,
    )
    failures: list[BaseException] = []
    deadline = time.monotonic() + START_DEADLINE_S
    for _ in _while_fitting(build_measurer(asked.job, task, cluster).fit, failures):
        stop.heed()
        if values := board.poll_values():
            deadline = float("inf")
            if "done" in values:
                on_progress(values["done"], values["total"])
        if time.monotonic() > deadline:
            failures.append(TimeoutError(f"no worker began within {START_DEADLINE_S:.0f} s"))
            break
    if failures:
        raise RunFailedError(
            f"measuring {asked.run_dir.name}: {cause(failures[0], RunFolder(asked.run_dir))}",
            mend=f"see {RunFolder(asked.run_dir).logs}; the run is as it was",
        )
    return _last_word(board)


def _last_word(board: ProgressBoard) -> str:
    """Why the predictions were not kept, which the first worker has posted last."""
    deadline = time.monotonic() + LAST_WORD_DEADLINE_S
    while time.monotonic() < deadline:
        values = board.poll_values() or {}
        if "not_kept" in values:
            return str(values["not_kept"])
        time.sleep(POLL_S)
    return "the workers ended without saying whether they are"


def _while_fitting(fit: Callable[[], object], failures: list[BaseException]) -> Iterator[None]:
    """Ray Train at work, in a thread: in the main one it would take over Ctrl-C."""

    def run() -> None:
        try:
            fit()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_S)
        yield
