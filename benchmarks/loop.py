"""What the project's loop costs beside a bare one: at most 2 %.

    python benchmarks/loop.py                      # digits, ResNet-8, CPU
    python benchmarks/loop.py --data cifar10 --device cuda --depth 110

The project's loop, a bare one that imports nothing of the project (`bare_loop.py`) and, as the
control, the bare one once more train the same net on the same images with the same flags. They take
turns, a step at a time, so that whatever slows the machine slows all of them (`loop_turns.py`).
Each round gives a ratio of the time that ours took to the geometric mean of what the two bare loops
took, and, as the control, one of the two bare loops. The whole is started many times, since where
memory comes to lie makes one loop faster than its twin for as long as a process lives: a start
counts as one observation, the geometric mean of its rounds' ratios, and the interval is Student's
95 % over the starts.

On a GPU the verdict is by wall time. On a CPU it is by CPU time (of all threads of the process, the
loader's among them), since wall time on a shared machine is mostly the others'; both are printed.

Exit code 0: the upper bound of ours is at most the limit. 1: it is not. 3: the control's interval
leaves 0.98 to 1.02, so that this run shows nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
import torch
from numpy.typing import NDArray

from resnet_cluster.data import Manifest, load_manifest, prepare

LIMIT = 1.02
CONTROL = (0.98, 1.02)
START_DEADLINE_S = 3600
TURNS = Path(__file__).resolve().with_name("loop_turns.py")
LOOPS = ("bare", "ours", "control")

Seconds = dict[str, dict[str, NDArray[np.float64]]]
"""Of each loop and clock: starts x rounds."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How much longer one loop took than the bare one."""

    ratio: float
    lower: float
    upper: float


def measure(flags: dict[str, Any], num_starts: int, folder: Path) -> Seconds:
    """Seconds of each loop's steps."""
    starts = []
    for number in range(num_starts):
        print(f"\rstart {number + 1} of {num_starts}", end="", file=sys.stderr)
        run_dir = folder / str(number)
        run_dir.mkdir()
        finished = subprocess.run(
            [sys.executable, str(TURNS), json.dumps(flags | {"folder": str(run_dir)})],
            env=os.environ | {"OMP_NUM_THREADS": str(flags["threads"])},
            capture_output=True,
            text=True,
            timeout=START_DEADLINE_S,
        )
        if finished.returncode:
            sys.exit(finished.stderr)
        starts.append(json.loads(finished.stdout))
    print(file=sys.stderr)
    return {
        name: {
            clock: np.array([start[name][clock] for start in starts]) for clock in starts[0][name]
        }
        for name in LOOPS
    }


def paired_ratio(ours: NDArray[np.float64], bare: NDArray[np.float64]) -> Ratio:
    """Geometric mean of the rounds' ratios, with Student's interval over the starts."""
    means = np.log(ours / bare).mean(axis=1)
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    reach = float(scipy.stats.t.ppf(0.975, len(means) - 1)) * error
    centre = float(means.mean())
    return Ratio(
        ratio=math.exp(centre), lower=math.exp(centre - reach), upper=math.exp(centre + reach)
    )


def report(seconds: Seconds, num_images: int) -> dict[str, Any]:
    """Print the figures; what `--out` keeps."""
    found: dict[str, Any] = {}
    for clock in ("wall", "cpu"):
        times = {name: seconds[name][f"{clock}_s"] for name in LOOPS}
        for name in LOOPS:
            rate = num_images / float(np.median(times[name]))
            found[f"{name}_images_per_{clock}_second"] = rate
            print(f"{name:8}{rate:10.1f} img/s by {clock} time (median step)")
        bare = np.sqrt(times["bare"] * times["control"])
        for name, reference in (("ours", bare), ("control", times["bare"])):
            ratio = paired_ratio(times[name], reference)
            found[f"{name}_{clock}"] = asdict(ratio)
            span = f"{ratio.lower:.4f} to {ratio.upper:.4f}"
            print(f"{name:8}{ratio.ratio:10.4f} x bare by {clock} time (95 %: {span})")
    return found


def parse_flags() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a prepared data set's name or folder (digits, by default)")
    parser.add_argument("--depth", type=int, default=8, help="8 is the smallest, and the strictest")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--bn-group", type=int, default=64)
    parser.add_argument("--precision", choices=["off", "bf16"], default="off")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--starts", type=int, default=24, help="how often all is started anew")
    parser.add_argument("--rounds", type=int, default=8, help="steps of each loop in one start")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    given = parser.parse_args()
    if given.starts < 3 or given.starts * given.rounds < 15:
        parser.error("an interval needs at least 3 starts and 15 rounds")
    return given


def find_data(name: str | None, folder: Path) -> Manifest:
    """The data set to train on."""
    if name:
        return load_manifest(name)
    os.environ["RESNET_CLUSTER_DATA"] = str(folder / "data")
    return prepare("digits", name="digits").manifest


def make_flags(given: argparse.Namespace, data: Manifest) -> dict[str, Any]:
    """What the three loops have in common."""
    names = ("depth", "batch", "bn_group", "precision", "device", "threads", "rounds")
    common = {name: getattr(given, name) for name in names}
    fixed = {"pad": 4, "channels_last": True, "seed": 0}
    return common | fixed | {"beton": str(data.beton("train"))}


def main() -> int:
    """Measure and judge."""
    given = parse_flags()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        flags = make_flags(given, find_data(given.data, folder))
        seconds = measure(flags, given.starts, folder)
    clock = "cpu" if given.device == "cpu" else "wall"
    found = report(seconds, given.batch)
    if given.out:
        times = {
            name: {key: seconds[name][key].tolist() for key in seconds[name]} for name in LOOPS
        }
        content = {"flags": flags, "torch": torch.__version__, "verdict_by": clock, **found}
        given.out.write_text(json.dumps(content | {"seconds": times}, indent=1) + "\n")
    control, ours = found[f"control_{clock}"], found[f"ours_{clock}"]
    if control["lower"] < CONTROL[0] or control["upper"] > CONTROL[1]:
        print(f"NO VERDICT: the control leaves {CONTROL[0]} to {CONTROL[1]}; use more starts")
        return 3
    passed = ours["upper"] <= LIMIT
    print(f"{'PASS' if passed else 'FAIL'}: at most {LIMIT} x the bare loop's {clock} time")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
