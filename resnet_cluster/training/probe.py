"""A few steps and measurements of a job, timed: what its whole training will cost follows from it.

What is timed is the training's own loader, network and optimiser, on the job's own images, at a
learning rate of zero. Nothing is recorded.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from resnet_cluster.data import Manifest
from resnet_cluster.spec import JobSpec, Protocol, RandomResizedSpec, SingleView, protocols
from resnet_cluster.training.context import Context
from resnet_cluster.training.graphs import WARM_UP
from resnet_cluster.training.images import build_images
from resnet_cluster.training.lanes import Lane
from resnet_cluster.training.loop import Loop
from resnet_cluster.training.memory import keep_freed_memory
from resnet_cluster.training.run import build_loop
from resnet_cluster.training.split import EvalSplit, build_eval_split

TIMED_S = 4.0
"""For which steps are timed; an evaluation is for half of it."""
MOST_MICRO_BATCHES = 2
"""Of a step that a rank takes while it is probed: a step of more takes as many times as long."""
_FEW_IMAGES = 8
"""Of the first evaluation, on each rank."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was timed, in seconds."""

    step_s: float
    """Of an optimiser step, the epochs' beginnings included."""
    image_s: dict[str, float]
    """Of an image of the test split under each protocol, over all ranks."""
    checkpoint_s: float


class Prober:
    """One rank of a job that is ready to be timed: it has taken its first step.

    Args:
        job: the job.
        manifest: the data set that it names.
        context: the world of this rank; a checkpoint is written into its folder.
        side: height and width of the training images, where they grow.

    Raises:
        IntegrityError: the images are damaged.
        OSError: the storage is full or cannot be written.
    """

    def __init__(
        self, job: JobSpec, manifest: Manifest, context: Context, *, side: int | None = None
    ) -> None:
        torch.backends.cudnn.benchmark = True  # as in a training
        if context.device.type == "cpu":
            keep_freed_memory()
        self._manifest, self._context = manifest, context
        self._job = _probed(job, context.world_size, side)
        self._share = job.train.global_batch_size / self._job.train.global_batch_size
        self._loop = build_loop(self._job, build_images(self._job, manifest, context), context)
        self._steps = _steps(self._loop)
        self._lane = Lane(context.device)
        with self._lane:  # what a training does once at its beginning is done here
            self._take(WARM_UP + 2 if context.device.type == "cuda" else 1)

    def measure(self, seconds: float = TIMED_S) -> Speed:
        """Time steps, evaluations and a checkpoint; every rank calls it.

        Args:
            seconds: for which steps are timed, about.
        """
        with self._lane:
            return self._measure(seconds)

    def _measure(self, seconds: float) -> Speed:
        step_s = self._time_steps(seconds) * self._share
        views = protocols(self._job, self._manifest.image_size)
        image_s = {
            protocol.identity: self._time_images(protocol, seconds / 2)
            for protocol in {each.identity: each for each in (SingleView(), *views)}.values()
        }
        state = self._loop.state()
        checkpoint_s = self._timed(lambda: self._loop.keeper.save(state))
        return Speed(step_s=step_s, image_s=image_s, checkpoint_s=checkpoint_s)

    def close(self) -> None:
        """End the loader."""
        self._steps.close()

    def _time_steps(self, seconds: float) -> float:
        """Seconds of a step; one that takes long is not taken again."""
        once = self._take(1)
        if _agreed(once) < seconds:
            once = self._take(1)
        number = round(_agreed(seconds / once))
        return self._take(number) / number if number > 1 else once

    def _take(self, number: int) -> float:
        """Seconds of so many steps."""
        return self._timed(lambda: [next(self._steps) for _ in range(number)])

    def _time_images(self, protocol: Protocol, seconds: float) -> float:
        """Seconds of an image of the test split."""
        total = self._manifest.test.num_images
        number = min(total, _FEW_IMAGES * self._context.world_size)
        net = self._loop.engine.measured_net()
        self._split(number).measure(net, protocol)  # the first one warms up
        while True:
            split = self._split(number)
            took = self._timed(lambda split=split: split.measure(net, protocol))  # type: ignore[misc]
            # What an evaluation costs apart from its images shall not weigh.
            wanted = round(_agreed(min(total, max(number, number * seconds / took))))
            if wanted < 2 * number:
                return took / number
            number = wanted

    def _split(self, num_images: int) -> EvalSplit:
        """Images from all over the test split."""
        places = np.linspace(0, self._manifest.test.num_images - 1, num_images)
        return build_eval_split(
            self._job,
            self._manifest,
            "test",
            places.astype(np.int64),
            self._loop.images.pixels,
            self._context,
        )

    def _timed(self, call: Callable[[], object]) -> float:
        """Seconds that a call takes, device included."""
        self._wait()
        began = time.monotonic()
        call()
        self._wait()
        return max(time.monotonic() - began, 1e-9)

    def _wait(self) -> None:
        if self._context.device.type == "cuda":
            torch.cuda.synchronize(self._context.device)


def _probed(job: JobSpec, world_size: int, side: int | None) -> JobSpec:
    """The job with few micro-batches in a step, and training images of one size."""
    group = job.train.bn_group
    most = world_size * group * MOST_MICRO_BATCHES
    train = job.train.model_copy(
        update={"global_batch_size": min(job.train.global_batch_size, most)}
    )
    data = job.data
    if side is not None and isinstance(data.crop, RandomResizedSpec):
        crop = data.crop.model_copy(update={"size": side, "grow": None})
        data = data.model_copy(update={"crop": crop})
    return job.model_copy(update={"train": train, "data": data})


def _steps(loop: Loop) -> Generator[None]:
    """Steps without end, one epoch after the other."""
    number = itertools.count()
    for epoch in itertools.count():
        with loop.images.train.batches(epoch, first_step=0) as batches:
            for _ in range(loop.lengths.steps_per_epoch):
                own = itertools.islice(batches, loop.engine.num_micro_batches)
                loop.engine.step(own, epoch=epoch, lr=0.0, number=next(number))
                yield


def _agreed(number: float) -> float:
    """The first rank's number, on every rank."""
    if not dist.is_initialized():
        return number
    numbers = [number]
    dist.broadcast_object_list(numbers, src=0)
    return numbers[0]
