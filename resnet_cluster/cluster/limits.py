"""What a sweep may take, and what is asked of its price."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_cluster.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is asked of a price, and what it may be.

    Attributes:
        is_wanted: whether runs are to be timed.
        price_per_hour: of a GPU, or of a worker where there are none.
        max_gpu_hours: hours that all attempts at a sweep may take together.
        max_disk_gb: GB that the runs of its trials may hold together.
    """

    is_wanted: bool = False
    price_per_hour: float | None = None
    max_gpu_hours: float | None = None
    max_disk_gb: float | None = None

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: a price or a limit is not above 0.
        """
        for option, value in (
            ("--price", self.price_per_hour),
            ("--max-gpu-hours", self.max_gpu_hours),
            ("--max-disk", self.max_disk_gb),
        ):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{option} {value:g} is not above 0", mend="give a number above 0")

    @property
    def needs_probe(self) -> bool:
        """Whether runs are timed."""
        others = (self.price_per_hour, self.max_gpu_hours)
        return self.is_wanted or any(value is not None for value in others)


NO_LIMITS = Limits()
