"""What the project's loop costs beside a bare one: at most 2 %.

    python benchmarks/loop.py                      # digits, ResNet-20, CPU
    python benchmarks/loop.py --data cifar10 --device cuda --depth 110

Three processes train the same net on the same images with the same flags: a bare loop that
imports nothing of the project (`bare_loop.py`), the project's own (`our_loop.py`), and the bare
loop once more as the control. They take turns of a few steps, in an order that changes from round
to round, so that whatever slows the machine slows all of them; each round gives one ratio of the
times that ours and the bare loop took, and one of the two bare loops. The processes are started
several times, since where their memory comes to lie makes one faster than its twin for as long as
it lives: the interval is Student's 95 % of the mean over the starts, each counting as one
observation (logarithms, so that the mean is geometric).

On a GPU the verdict is by wall time. On a CPU it is by CPU time (of all threads of the process, its
loader's among them, whenever they ran), since wall time on a shared machine is mostly the others';
both are printed.

Exit code 0: the upper bound of ours is at most the limit. 1: it is not. 3: the control's own
interval leaves 0.98 to 1.02, so that this run shows nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
NUM_WARM_UP = 2
HERE = Path(__file__).resolve().parent
SCRIPTS = {"bare": "bare_loop.py", "ours": "our_loop.py", "control": "bare_loop.py"}


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How much longer one loop took than the bare one."""

    ratio: float
    lower: float
    upper: float


class Trainer:
    """A process that trains in turns."""

    def __init__(self, name: str, flags: dict[str, Any], folder: Path) -> None:
        (folder / name).mkdir()
        given = json.dumps(flags | {"folder": str(folder / name)})
        self._errors = (folder / f"{name}.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / SCRIPTS[name]), given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(flags["threads"])},
        )

    def hear(self) -> dict[str, float]:
        """What the process says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            sys.exit(self._errors.read())
        said: dict[str, float] = json.loads(line)
        return said

    def take_turn(self) -> dict[str, float]:
        """Let it train a block; what that took."""
        assert self._process.stdin is not None
        print("go", file=self._process.stdin, flush=True)
        return self.hear()

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._errors.close()


Seconds = dict[str, dict[str, list[float]]]


def measure(flags: dict[str, Any], *, num_starts: int, num_rounds: int, folder: Path) -> Seconds:
    """Seconds of each round's block, wall and CPU, of each loop."""
    seconds: Seconds = {name: {"wall_s": [], "cpu_s": []} for name in SCRIPTS}
    draw = np.random.default_rng(0)
    for start in range(num_starts):
        with started(flags, folder / str(start)) as trainers:
            for number in range(num_rounds):
                for name in draw.permutation(list(trainers)):
                    for kind, value in trainers[name].take_turn().items():
                        seconds[name][kind].append(value)
                done = f"start {start + 1} of {num_starts}, round {number + 1} of {num_rounds}"
                print(f"\r{done}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return seconds


@contextlib.contextmanager
def started(flags: dict[str, Any], folder: Path) -> Iterator[dict[str, Trainer]]:
    """One process of each loop, warm."""
    folder.mkdir()
    trainers = {name: Trainer(name, flags, folder) for name in SCRIPTS}
    try:
        sizes = {name: trainer.hear()["num_parameters"] for name, trainer in trainers.items()}
        assert len(set(sizes.values())) == 1, f"the nets differ: {sizes}"
        for trainer in trainers.values():
            trainer.hear()
            for _ in range(NUM_WARM_UP):
                trainer.take_turn()
        yield trainers
    finally:
        for trainer in trainers.values():
            trainer.close()


def paired_ratio(ours: list[float], bare: list[float], num_starts: int) -> Ratio:
    """Geometric mean of the rounds' ratios; Student's interval of the means of the starts."""
    logs: NDArray[np.float64] = np.log(np.array(ours) / np.array(bare)).reshape(num_starts, -1)
    means = logs.mean(axis=1)
    error = float(means.std(ddof=1)) / math.sqrt(num_starts)
    reach = float(scipy.stats.t.ppf(0.975, num_starts - 1)) * error
    centre = float(means.mean())
    return Ratio(
        ratio=math.exp(centre), lower=math.exp(centre - reach), upper=math.exp(centre + reach)
    )


def report(seconds: Seconds, num_starts: int, images: int, verdict_by: str) -> dict[str, Any]:
    """Print the figures; what `--out` keeps."""
    found: dict[str, Any] = {"images_per_block": images, "verdict_by": verdict_by}
    for kind in ("wall_s", "cpu_s"):
        clock = kind.removesuffix("_s")
        for name in SCRIPTS:
            rate = images / float(np.median(seconds[name][kind]))
            found[f"{name}_images_per_{clock}_second"] = rate
            print(f"{name:8}{rate:10.1f} img/s ({clock}, median block)")
        for name in ("ours", "control"):
            ratio = paired_ratio(seconds[name][kind], seconds["bare"][kind], num_starts)
            found[f"{name}_{clock}"] = asdict(ratio)
            span = f"{ratio.lower:.4f} to {ratio.upper:.4f}"
            print(f"{name:8}{ratio.ratio:10.4f} x bare ({clock}; 95 %: {span})")
    return found


def parse_flags() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a prepared data set's name or folder (digits, by default)")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--bn-group", type=int, default=64)
    parser.add_argument("--precision", choices=["off", "bf16"], default="off")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--starts", type=int, default=12, help="how often the processes start anew")
    parser.add_argument("--rounds", type=int, default=25, help="turns of each in one start")
    parser.add_argument("--block", type=int, default=1, help="steps of a turn")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    return parser.parse_args()


def find_data(name: str | None, folder: Path) -> Manifest:
    """The data set to train on."""
    if name:
        return load_manifest(name)
    os.environ["RESNET_CLUSTER_DATA"] = str(folder / "data")
    return prepare("digits", name="digits").manifest


def main() -> int:
    """Measure and judge."""
    given = parse_flags()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        flags = {
            "beton": str(find_data(given.data, folder).beton("train")),
            "depth": given.depth,
            "batch": given.batch,
            "bn_group": given.bn_group,
            "pad": 4,
            "precision": given.precision,
            "channels_last": True,
            "device": given.device,
            "threads": given.threads,
            "block": given.block,
            "seed": 0,
        }
        seconds = measure(flags, num_starts=given.starts, num_rounds=given.rounds, folder=folder)
    verdict_by = "cpu" if given.device == "cpu" else "wall"
    found = report(seconds, given.starts, given.block * given.batch, verdict_by)
    if given.out:
        content = {"flags": flags, "torch": torch.__version__, **found, "seconds": seconds}
        given.out.write_text(json.dumps(content, indent=1) + "\n")
    control, ours = found[f"control_{verdict_by}"], found[f"ours_{verdict_by}"]
    if control["lower"] < CONTROL[0] or control["upper"] > CONTROL[1]:
        print(f"NO VERDICT: the control leaves {CONTROL[0]} to {CONTROL[1]}; use more rounds")
        return 3
    passed = ours["upper"] <= LIMIT
    print(f"{'PASS' if passed else 'FAIL'}: at most {LIMIT} x the bare loop's {verdict_by} time")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
