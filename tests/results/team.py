"""A team at one store: processes that open it and ingest at once, while one writes new events.

    python team.py URL ROOT

Exit code 0: all of them ended in time, and none met an error or had anything to warn of. 1: no.
They are forked from one process, which has imported what they need: a start of each costs seconds.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import alembic.command  # noqa: F401  # what an opening of a new store imports
from factories import (
    START,
    make_attempt_events,
    make_epoch,
    make_evaluation,
    make_job,
    make_run_record,
)

from resnet_cluster.results import (
    AnyRecord,
    ArtefactRecord,
    EventLog,
    ResultStore,
    RunRecord,
    RunState,
)

NUM_INGESTING = 8
NUM_TRAINED, NUM_EPOCHS = 3, 5
PAUSE_S, DEADLINE_S = 0.02, 60.0


def train(url: str, root: Path, start: Barrier, trained: Event) -> None:
    """Write the events of several runs in turn, and have the store forget each as often."""
    start.wait(DEADLINE_S)
    runs = [
        make_run_record(make_job({"name": f"new-{n}", "seed": n}), run_id=f"r-new-{n}", minute=n)
        for n in range(NUM_TRAINED)
    ]
    try:
        with ResultStore.open(url, runs_root=root) as store:
            for number in range(len(events_of(runs[0]))):
                for run in runs:
                    assert EventLog(root / run.run_id).record(events_of(run)[number])
                    store.forget(run.run_id)
    finally:
        trained.set()


def events_of(run: RunRecord) -> list[AnyRecord]:
    """The events of a run in their order."""
    *begun, ended = make_attempt_events(RunState.SUCCEEDED)
    epochs = [make_epoch(number) for number in range(1, NUM_EPOCHS + 1)]
    weights = ArtefactRecord(
        at=START, name="weights", path="weights.pt", sha256="ab" * 32, num_bytes=1
    )
    return [run, *begun, *epochs, make_evaluation(run, 8.5), weights, ended]


def ingest(url: str, root: Path, start: Barrier, trained: Event) -> None:
    """Take events in while there are new ones, and once more."""
    start.wait(DEADLINE_S)
    with ResultStore.open(url, runs_root=root) as store:
        is_last = False
        while not is_last:
            is_last = trained.is_set()
            time.sleep(PAUSE_S)
            if warnings := store.ingest():
                raise AssertionError("\n".join(warnings))


def main(url: str, root: Path) -> int:
    """Start them, and see that each ends well and in time."""
    context = multiprocessing.get_context("fork")
    start, trained = context.Barrier(NUM_INGESTING + 1), context.Event()
    processes: list[ForkProcess] = [
        context.Process(target=ingest, args=(url, root, start, trained))
        for _ in range(NUM_INGESTING)
    ]
    processes.append(context.Process(target=train, args=(url, root, start, trained)))
    deadline = time.monotonic() + DEADLINE_S
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        exit_codes = [process.exitcode for process in processes]
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    print(exit_codes)
    return 0 if exit_codes == [0] * len(processes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
