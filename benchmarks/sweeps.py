"""What a sweep costs beside Ray Tune on its own: time from first trial to last, and memory.

    python benchmarks/sweeps.py [8x1 64x1 8x10 64x10]

A trial here sleeps for a second, or for ten, and writes what a run of two epochs would; sixteen run
at a time, on a cluster that believes to have sixteen cores. The same function is run by a plain
`tune.Tuner` and by our driver of sweeps, one after the other in turn, each on a cluster of its own;
a figure is the ratio of the least times, from the call that starts the trials to its return. While
sixteen trials of ten seconds run, the memory of all that is not a trial is summed: our process,
Ray's servers, the board (PSS, which counts a shared page once).

Exit code 0: at most 1.05 times Tune's own, and 2 GiB. 1: no.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CASES = ((8, 1.0, 3), (64, 1.0, 2), (8, 10.0, 2), (64, 10.0, 2))
"""Trials, seconds of each, and rounds."""
CONCURRENT = 16
LIMIT, LIMIT_BYTES = 1.05, 2 << 30
JOB = Path(__file__).parents[1] / "jobs" / "digits_r20.yaml"


def work(config: dict[str, Any], tasks: list[Any]) -> None:
    """A trial: the events of a run, and time."""
    from ray import tune

    from resnet_cluster.results import AttemptEnded, AttemptStarted, EventLog, RunState

    (task,) = (tasks[place] for place in config["trials"])
    log = EventLog(task.run_dir)
    log.record(AttemptStarted(attempt=1, owner="benchmark:1"))
    seconds = float(os.environ["SWEEP_SECONDS"])
    for epoch in (1, 2):
        time.sleep(seconds / 2)
        tune.report({"epoch": epoch, "train_top1_err": 50.0})
    log.record(AttemptEnded(attempt=1, state=RunState.SUCCEEDED))
    tune.report({"state": RunState.SUCCEEDED.value})


def makespan(which: str, num_trials: int) -> dict[str, float]:
    """Seconds of all trials, and bytes of what is no trial, in this process."""
    import ray

    from resnet_cluster.cluster.capacity import Cluster
    from resnet_cluster.cluster.progress import start_board

    ray.init(
        address="local",
        num_cpus=CONCURRENT,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    cluster = Cluster(address=None, num_cpus=CONCURRENT, num_gpus=0, num_nodes=1)
    with tempfile.TemporaryDirectory() as folder:
        orders = list(make_orders(Path(folder), num_trials))
        measured = Memory()
        began = time.perf_counter()
        if which == "tune":
            board = start_board("benchmark")
            tasks = [
                order.task(cluster, board, trials_per_gpu=1, sweep_dir=Path(folder), attempt=1)
                for order in orders
            ]
            run_by_tune(tasks, Path(folder) / "tune")
        else:
            run_by_us(orders, cluster, Path(folder) / "s-benchmark")
        seconds = time.perf_counter() - began
        ended = sum(1 for order in orders if list(order.run_dir.glob("events/*ended.json")))
        assert ended == num_trials, f"{ended} of {num_trials} trials ended"
    return {"seconds": seconds, "bytes": float(measured.most)}


def make_orders(folder: Path, num_trials: int) -> Iterator[Any]:
    """Orders of runs that differ in their seeds."""
    from resnet_cluster.cluster.sweep_order import TrialOrder
    from resnet_cluster.spec import load_job

    for number in range(num_trials):
        yield TrialOrder(
            place=number,
            job=load_job(JOB, seed=number, workers=1).spec,
            dataset_folder=folder / "none",
            num_epochs=2,
            run_dir=folder / f"r-{number:08d}",
            record=None,
        )


def run_by_tune(tasks: list[Any], storage: Path) -> None:
    """Tune as its documentation has it."""
    from ray import tune

    trainable = tune.with_resources(tune.with_parameters(work, tasks=tasks), {"CPU": 1})
    tune.Tuner(
        trainable,
        param_space={"trials": tune.grid_search([[place] for place in range(len(tasks))])},
        run_config=tune.RunConfig(storage_path=str(storage), verbose=0),
    ).fit()


def run_by_us(orders: list[Any], cluster: Any, sweep_dir: Path) -> None:
    """A sweep's driver, as `ablate` has it."""
    from resnet_cluster.cluster.signals import StopRequest
    from resnet_cluster.cluster.sweep_driver import SweepDriver
    from resnet_cluster.cluster.sweep_order import SweepOptions

    driver = SweepDriver(
        sweep_dir=sweep_dir,
        orders=orders,
        options=SweepOptions(),
        cluster=cluster,
        tell=lambda place, news: None,
        stop=StopRequest(),
        trainable=work,
    )
    ended = driver.drive()
    assert ended.state == "SUCCEEDED", ended


class Memory:
    """The most that this process and Ray's have had at a time, less that of trials."""

    def __init__(self) -> None:
        self.most = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(2.0)
            self.most = max(self.most, sum(map(pss, control_plane())))


def control_plane() -> Iterator[Path]:
    """Processes of this one's session that are no trials, and no workers that wait for one."""
    own = os.getsid(0)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) != own:
                continue
            name = (folder / "cmdline").read_bytes().split(b"\0")[0]
        except OSError:
            continue
        if not name.startswith((b"ray::ImplicitFunc", b"ray::_Inner", b"ray::IDLE", b"ray::work")):
            yield folder


def pss(folder: Path) -> int:
    """Bytes of a process, of a shared page its share."""
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def measured(which: str, num_trials: int, seconds: float) -> dict[str, float]:
    """The same, in a process and a session of its own."""
    environment = os.environ | {
        "SWEEP_SECONDS": str(seconds),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    argv = [sys.executable, __file__, which, str(num_trials)]
    done = subprocess.run(
        argv,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=900,
        start_new_session=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Measure and judge."""
    wanted = sys.argv[1:]
    passed, figures = True, []
    for num_trials, seconds, rounds in CASES:
        if wanted and f"{num_trials}x{seconds:g}" not in wanted:
            continue
        times: dict[str, list[float]] = {"tune": [], "ours": []}
        most = 0.0
        for _ in range(rounds):
            for which, own in times.items():
                found = measured(which, num_trials, seconds)
                own.append(found["seconds"])
                most = max(most, found["bytes"] if which == "ours" else 0)
        least = {which: min(own) for which, own in times.items()}
        ratio = least["ours"] / least["tune"]
        passed &= ratio <= LIMIT and most <= LIMIT_BYTES
        figures.append({"trials": num_trials, "seconds": seconds, "ratio": ratio, "bytes": most})
        print(
            f"{num_trials} trials of {seconds:g} s: {least['ours']:.2f} s, by Tune "
            f"{least['tune']:.2f} s: {ratio:.3f} x; {most / 2**20:,.0f} MiB",
            flush=True,
        )
    print(json.dumps(figures))
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["tune"], ["ours"]):
        print(json.dumps(makespan(sys.argv[1], int(sys.argv[2]))), flush=True)
        os._exit(0)  # Ray's farewell is not measured
    sys.exit(main())
