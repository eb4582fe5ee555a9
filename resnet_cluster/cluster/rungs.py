"""The rule by which asha stops trials early: after which epochs, how many go on, judged by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_cluster.spec import JobSpec

REDUCTION = 3
"""Of the trials that have come as far, one in so many goes on."""
GRACE_EPOCHS = 1


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """Asynchronous successive halving (Li et al. 2020), as Ray Tune does it.

    Attributes:
        metric: of an epoch; never of the test split, which steers nothing.
        max_epochs: of the longest trial.
    """

    metric: str
    max_epochs: int

    @property
    def epochs(self) -> tuple[int, ...]:
        """Those after which trials are stopped."""
        found, epoch = [], GRACE_EPOCHS
        while epoch < self.max_epochs:
            found.append(epoch)
            epoch *= REDUCTION
        return tuple(found)

    @property
    def text(self) -> str:
        """The rule in words."""
        if not self.epochs:
            return "asha: stops nothing, for the trials have no more than an epoch"
        at = ", ".join(map(str, self.epochs))
        error = "hold-out" if self.metric.startswith("holdout") else "training"
        return (
            f"asha: after epochs {at} a trial goes on if its {error} error is among the best "
            f"1 in {REDUCTION} of those that have come as far"
        )


def rungs_of(scheduler: str, jobs: Sequence[JobSpec], num_epochs: int) -> Rungs | None:
    """The rule for trials of those jobs: by the hold-out's error where all have one.

    Args:
        scheduler: `asha`; none has no rule.
        jobs: of the trials.
        num_epochs: of the longest.
    """
    if scheduler == "none":
        return None
    has_holdout = all(job.data.holdout for job in jobs)
    metric = "holdout_top1_err" if has_holdout else "train_top1_err"
    return Rungs(metric=metric, max_epochs=num_epochs)
