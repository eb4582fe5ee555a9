"""What a run costs beside its training: the time to `--help`, and a tiny run's wall time.

    python benchmarks/startup.py [--rounds 5]

Prints the median time of `resnet-cluster --help` (at most 0.3 s), and of a run of 22 steps through
Ray with two workers the wall time less its training (at most 35 s); exits 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELP_BOUND_S = 0.3
RUN_BOUND_S = 35.0
DEADLINE_S = 300

PROJECT = Path(__file__).resolve().parent.parent
COMMAND = str(Path(sys.executable).with_name("resnet-cluster"))
JOB = str(PROJECT / "jobs" / "digits_r20.yaml")


def main() -> int:
    """Measure, print, and say by the exit code whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="runs of --help")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rc-", dir="/tmp"))
    try:
        environment = os.environ | {
            "HOME": str(home),
            "RESNET_CLUSTER_HOME": str(home / "state"),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        verdicts = (_measure_help(environment, arguments.rounds), _measure_run(environment))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0 if all(verdicts) else 1


def _measure_help(environment: dict[str, str], rounds: int) -> bool:
    _timed(["--help"], environment)  # compiles, and brings the files into the page cache
    times = [_timed(["--help"], environment) for _ in range(rounds)]
    return _verdict("--help", statistics.median(times), HELP_BOUND_S)


def _measure_run(environment: dict[str, str]) -> bool:
    _timed(["data", "prepare", "digits", "--as", "digits"], environment)
    short = ["--set", "train.epochs=1", "--name", "tiny"]
    wall_s = _timed(["submit", JOB, *short], environment)
    status = subprocess.run(
        [COMMAND, "status", "tiny", "-o", "json"],
        env=environment,
        capture_output=True,
        timeout=DEADLINE_S,
        check=True,
    )
    epochs = json.loads(status.stdout)["epochs"]
    training_s = sum(epoch["train_seconds"] for epoch in epochs)
    print(f"tiny run: {wall_s:.1f} s in all, {training_s:.1f} s of training")
    return _verdict("tiny run less its training", wall_s - training_s, RUN_BOUND_S)


def _timed(arguments: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=DEADLINE_S,
        check=True,
    )
    return time.perf_counter() - start


def _verdict(what: str, seconds: float, bound_s: float) -> bool:
    holds = seconds <= bound_s
    print(f"{what}: {seconds:.2f} s, bound {bound_s:g} s: {'pass' if holds else 'FAIL'}")
    return holds


if __name__ == "__main__":
    sys.exit(main())
