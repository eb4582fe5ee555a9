"""How long CIFAR-10's 60,000 JPEG images take to prepare, and how much memory.

    python benchmarks/prepare.py [ARCHIVE]

Prints what was measured beside the limits: 60 s of wall time on 2 cores, and 1 GiB of
proportional set size (PSS) summed over the process tree, sampled ten times a second. Exits
with 1 where a limit is passed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from resnet_cluster.data import prepare

ARCHIVE = Path(__file__).resolve().parent.parent.parent / "shared/data/cifar10-images.tar.xz"
LIMIT_S = 60.0
LIMIT_MIB = 1024.0
NUM_CORES = 2


class PeakMemory(threading.Thread):
    """The largest summed PSS of this process and all below it, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mib = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        root = psutil.Process()
        while not self.ended.wait(0.1):
            processes = [root, *root.children(recursive=True)]
            self.peak_mib = max(self.peak_mib, sum(map(pss_mib, processes)))


def pss_mib(process: psutil.Process) -> float:
    """Proportional set size of a process; 0 where it has just ended."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:") / 1024


def main() -> int:
    """Prepare the archive in a folder that is removed afterwards; 0 within the limits."""
    archive = Path(sys.argv[1]) if len(sys.argv) > 1 else ARCHIVE
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:NUM_CORES]))
    memory = PeakMemory()
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(RESNET_CLUSTER_HOME=home, RESNET_CLUSTER_DATA=f"{home}/data")
        memory.start()
        began_s = time.monotonic()
        manifest = prepare(str(archive), name="cifar10").manifest
        wall_s = time.monotonic() - began_s
        memory.ended.set()
        memory.join()
    num_images = manifest.train.num_images + manifest.test.num_images
    is_within = wall_s <= LIMIT_S and memory.peak_mib <= LIMIT_MIB
    print(
        f"{'pass' if is_within else 'FAIL'}: {num_images:,} images in {wall_s:.1f} s "
        f"({num_images / wall_s:,.0f} images/s, limit {LIMIT_S:.0f} s), peak summed PSS "
        f"{memory.peak_mib:.0f} MiB (limit {LIMIT_MIB:.0f} MiB)"
    )
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
