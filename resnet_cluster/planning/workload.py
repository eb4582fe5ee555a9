"""What a run has yet to compute: counted, not timed."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnet_cluster.nets import find_architecture
from resnet_cluster.planning.facts import DataFacts
from resnet_cluster.planning.plan import KEPT_CHECKPOINTS, Plan
from resnet_cluster.spec import (
    JobSpec,
    PaperNetSpec,
    RandomResizedSpec,
    SingleView,
    crop_side,
    protocols,
)

SINGLE = SingleView.identity
_RECORDS_BYTES, _EPOCH_BYTES = 12_000, 1_000
"""Of a run's events and logs, and of each epoch's event."""
_COSTLY = ("global_batch_size", "bn_group", "precision", "channels_last", "compile", "nesterov")
"""Of the recipe, what changes how long a step takes, apart from whether there is an average."""


@dataclass(frozen=True, kw_only=True)
class SizedSteps:
    """Optimiser steps on images of one size."""

    side: int
    """Height and width of the training images, in pixels."""
    flops: float
    """Multiply-adds of one of them, forward."""
    num_steps: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is left of a run: runs of one group differ in the arithmetic of an image alone."""

    group: str
    flops: float
    """Multiply-adds of an image that is measured, forward."""
    steps: tuple[SizedSteps, ...]
    """Of one size at least, also where none of them are left."""
    images: Mapping[str, int]
    """Images measured under each protocol, by its identity: during the training and after it."""
    num_checkpoints: int
    workers: int
    disk_bytes: int
    """What its folder holds when it has ended: checkpoints, weights, predictions, events."""


def workload(job: JobSpec, plan: Plan, data: DataFacts, *, epochs_done: int = 0) -> Workload:
    """What a job's run computes.

    Args:
        job: the job.
        plan: its plan on the data set.
        data: the data set's facts.
        epochs_done: epochs that a run which goes on has behind it.
    """
    return Workload(
        group=_group(job),
        flops=plan.flops,
        steps=_steps(job, plan, epochs_done),
        images=_images(job, plan, data, epochs_done),
        num_checkpoints=_checkpoints(job, plan, epochs_done),
        workers=job.resources.workers,
        disk_bytes=_disk_bytes(job, plan),
    )


def _group(job: JobSpec) -> str:
    """All of a job that changes its speed, but for depth and size of the images."""
    data = job.data.model_dump(mode="json")
    if data["crop"]:
        data["crop"] = data["crop"]["kind"]
    train = {name: getattr(job.train, name) for name in _COSTLY}
    evaluate = job.evaluate.model_dump(mode="json", include={"protocols", "scales", "centre"})
    parts = [
        _kind_of_net(job),
        data,
        train | {"ema": job.train.ema is not None},
        evaluate | {"select": job.evaluate.select},
        job.resources.model_dump(mode="json", exclude={"checkpoint_every_steps"}),
    ]
    return json.dumps(parts, sort_keys=True)


def _kind_of_net(job: JobSpec) -> dict[str, Any]:
    model = job.model
    if not isinstance(model, PaperNetSpec):
        return model.model_dump(mode="json")
    block = find_architecture(model.family, model.depth).block
    return model.model_dump(mode="json", exclude={"depth"}) | {"block": block}


def _steps(job: JobSpec, plan: Plan, epochs_done: int) -> tuple[SizedSteps, ...]:
    """The steps that are left, by the size of their images."""
    crop, epoch_steps = job.data.crop, plan.steps_per_epoch
    left: Counter[int] = Counter()
    if isinstance(crop, RandomResizedSpec) and crop.grow:
        for epoch in range(epochs_done, plan.num_epochs):
            side = crop_side(crop, job.train, epoch, epoch_steps)
            left[side] += min(epoch_steps, plan.num_steps - epoch * epoch_steps)
    if not left:  # images of one size, or a training that is over and only measured
        left[plan.train_sizes[-1]] = max(0, plan.num_steps - epochs_done * epoch_steps)
    return tuple(
        SizedSteps(side=side, flops=plan.flops * (side / plan.image_size) ** 2, num_steps=number)
        for side, number in left.items()
    )


def _images(job: JobSpec, plan: Plan, data: DataFacts, epochs_done: int) -> Counter[str]:
    every = job.evaluate.observe_every
    looks = plan.num_epochs // every - epochs_done // every if every else 0
    epochs_left = max(0, plan.num_epochs - epochs_done)
    images = Counter({SINGLE: looks * plan.num_test_images + epochs_left * plan.num_holdout_images})
    for protocol in protocols(job, data.image_size):
        images[protocol.identity] += plan.num_test_images
    return images


def _disk_bytes(job: JobSpec, plan: Plan) -> int:
    """Of the checkpoints a short run has fewer than are kept of a long one."""
    kept = min(KEPT_CHECKPOINTS - 1, _checkpoints(job, plan, 0))
    rest = plan.storage_bytes - KEPT_CHECKPOINTS * plan.checkpoint_bytes
    return kept * plan.checkpoint_bytes + rest + _RECORDS_BYTES + plan.num_epochs * _EPOCH_BYTES


def _checkpoints(job: JobSpec, plan: Plan, epochs_done: int) -> int:
    """One at the end of each epoch, and those within epochs."""
    every, epoch_steps = job.resources.checkpoint_every_steps, plan.steps_per_epoch
    first, last = epochs_done * epoch_steps, plan.num_steps
    ends = max(0, plan.num_epochs - epochs_done)
    if not every or first >= last:
        return ends
    both = math.lcm(every, epoch_steps)
    at_both = last // both - first // both
    is_cut = last % every == 0 and last % epoch_steps != 0  # the last epoch, there
    return ends + last // every - first // every - at_both - is_cut
