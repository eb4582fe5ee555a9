"""Verify a data set in a process of its own: `python -m resnet_cluster.data.verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from resnet_cluster.data.child import Tell, serve
from resnet_cluster.data.manifest import load_manifest
from resnet_cluster.data.request import Progress
from resnet_cluster.data.supervise import STALL_DEADLINE_S, Child
from resnet_cluster.data.ticker import Ticker
from resnet_cluster.data.verification import Fault, verify_beton, verify_dataset


def verify(
    name_or_path: str,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_fault: Callable[[Fault], None] = lambda fault: None,
    stall_s: float = STALL_DEADLINE_S,
) -> int:
    """Check all that a data set is made of, each image included; returns the number of faults.

    Args:
        name_or_path: a data set's name or folder, or a `.beton` that has no manifest: of that its
            tables are checked, and whether each image can be decoded.
        on_progress: called several times a second.
        on_fault: called with each thing that is wrong.
        stall_s: seconds without a sign of life after which it is ended.

    Raises:
        UsageError, PreflightError: there is no such data set.
        IntegrityError: its manifest is damaged, or its disk does not answer.
    """
    num_faults = 0
    child = Child("verify", "verifying", stall_s)
    with closing(child.events({"what": name_or_path}, name_or_path)) as events:
        for kind, event in events:
            if kind == "Progress":
                child.current = event["stage"]
                on_progress(Progress(**event))
            elif kind == "Fault":
                num_faults += 1
                on_fault(Fault(**event))
    return num_faults


def work(asked: dict[str, Any], tell: Tell) -> None:
    """Tell of each fault of the data set that is asked for."""
    path, ticker = Path(asked["what"]), Ticker(tell)
    if path.suffix == ".beton" and path.is_file():
        faults = verify_beton(path, ticker.tick)
    else:
        faults = verify_dataset(load_manifest(asked["what"]), ticker.tick)
    for fault in faults:
        tell(fault)


if __name__ == "__main__":
    sys.exit(serve(work))
