"""The driver of a sweep that outlives the command which asked for it: a job on the cluster.

Run as a module: `python -m resnet_cluster.cluster.detached_sweep SWEEP_DIR`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from resnet_cluster.cluster.connection import chosen_address, connected
from resnet_cluster.cluster.noise import noise_in
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.signals import StopRequest, signals_to
from resnet_cluster.cluster.sweep_order import read_order
from resnet_cluster.results import EventLog, last_attempt


def main(sweep_dir: Path) -> None:
    """Drive a sweep as its order says; what happens is told by its trials' events alone."""
    from resnet_cluster.cluster.sweep_driver import SweepDriver  # Ray Tune: seconds to import

    orders, options = read_order(sweep_dir)
    attempt = last_attempt(EventLog(sweep_dir)) + 1
    stop = StopRequest()
    with (
        noise_in(RunFolder(sweep_dir).driver_log(attempt)),
        signals_to(stop),
        connected(chosen_address(None)) as cluster,
        signals_to(stop),  # Ray has set its own meanwhile
    ):
        driver = SweepDriver(
            sweep_dir=sweep_dir,
            orders=orders,
            options=options,
            cluster=cluster,
            tell=lambda place, news: None,
            stop=stop,
        )
        driver.drive()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
