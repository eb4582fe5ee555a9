"""What trials take beside what was expected of them, for networks that were not probed.

    python benchmarks/price.py [ARCHIVE]

Four sweeps over depths are priced and trained, through the command line, on the digits enlarged to
32 pixels, or on the first images of an archive such as CIFAR-10's. In each the shallowest and the
deepest network are probed for seconds; what is judged are the five between them, of other lengths,
batches, shortcuts, protocols and numbers of workers. A figure is the hours that a trial took over
those that were expected, as `status` shows both.

Exit code 0: each within a quarter of what was expected. 1: no.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LIMIT = 0.25
PROGRAM = [sys.executable, "-m", "resnet_cluster"]
JOB = Path(__file__).parents[1] / "jobs" / "digits_r20.yaml"
SWEEPS: dict[str, Sequence[str]] = {
    "A": ("--depths", "8,14,20,26", "--shortcuts", "A", "--set", "train.epochs=12"),
    "plain, ten crops": (
        *("--depths", "8,14,20", "--shortcuts", "none", "--set", "train.epochs=9"),
        *("--set", "evaluate.protocols=[single,ten-crop]"),
    ),
    "B, batches of 256": (
        *("--depths", "8,20,32", "--shortcuts", "B", "--set", "train.epochs=8"),
        *("--set", "train.global_batch_size=256", "--set", "train.ema={decay: 0.99}"),
    ),
    "two workers": ("--depths", "8,20,32", "--workers", "2", "--set", "train.epochs=20"),
}
"""Options of each; the job's own are the rest."""
IMAGES = 1500
"""Of each split, of an archive."""


def called(environment: dict[str, str], *words: str) -> Any:
    """What a command prints for programs."""
    command = [*PROGRAM, *words]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def judged(environment: dict[str, str], number: int, options: Sequence[str]) -> Iterator[Any]:
    """The trials of a sweep that were not probed: name, hours expected, hours taken."""
    name = f"price{number}"
    workers = () if "--workers" in options else ("--workers", "1")
    words = ("ablate", str(JOB), *options, *workers, "--name", name, "--estimate", "-o", "json")
    found = called(environment, *words)
    (estimate,), (outcome,) = found["estimates"], found["outcomes"]
    taken = {trial["run_id"]: trial["hours"] for trial in outcome["trials"]}
    runs = {trial["key"]: trial["run_id"] for trial in found["trials"]}
    for trial in estimate["trials"][1:-1]:  # by depth: the first and the last were probed
        yield trial["name"], trial["hours"], taken[runs[trial["key"]]]


def main(archive: str | None) -> int:
    """Price, train, print and judge."""
    ratios = []
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"RESNET_CLUSTER_HOME": home}
        prepared = [archive, "--limit", str(IMAGES)] if archive else ["digits", "--size", "32"]
        prepare = [*PROGRAM, "data", "prepare", *prepared, "--as", "digits"]
        subprocess.run(prepare, env=environment, check=True, stdout=subprocess.DEVNULL)
        for number, (title, options) in enumerate(SWEEPS.items()):
            for name, expected, taken in judged(environment, number, options):
                ratios.append(taken / expected)
                print(
                    f"{title:<18} {name:<18} expected {3600 * expected:6.1f} s of workers, "
                    f"took {3600 * taken:6.1f}: {ratios[-1]:.3f}",
                    flush=True,
                )
    is_good = all(abs(ratio - 1) <= LIMIT for ratio in ratios)
    print(f"{'PASS' if is_good else 'FAIL'}: {min(ratios):.3f} to {max(ratios):.3f}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
