"""The process that converts a source: `python -m resnet_cluster.data.convert`.

It is a process of its own so that whatever it is stuck in can be ended from outside.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from resnet_cluster.data.child import Tell, serve
from resnet_cluster.data.conversion import convert
from resnet_cluster.data.request import ConversionRequest, PreparationPlan, Progress
from resnet_cluster.data.sources import DISK_FULL
from resnet_cluster.errors import PreflightError


def work(asked: dict[str, Any], tell: Tell) -> None:
    """Convert what is asked for.

    Raises:
        UsageError, PreflightError, IntegrityError: see `convert`.
    """
    request = ConversionRequest.from_json(asked)
    plans: list[PreparationPlan] = []

    def tell_and_note(event: PreparationPlan | Progress) -> None:
        if isinstance(event, PreparationPlan):
            plans.append(event)
        tell(event)

    try:
        convert(request, tell_and_note)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise _disk_full(request, plans) from error


def _disk_full(request: ConversionRequest, plans: list[PreparationPlan]) -> PreflightError:
    needed = f": {plans[0].num_bytes / 1e6:,.0f} MB are needed in all" if plans else ""
    return PreflightError(
        f"{os.path.dirname(request.folder)}: the disk is full{needed}",
        mend="free some space, or name another disk with --out",
    )


if __name__ == "__main__":
    sys.exit(serve(work))
