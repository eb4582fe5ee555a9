"""The course of one training: steps, epochs, and what is measured and kept between them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from resnet_cluster.data import Batch
from resnet_cluster.errors import IntegrityError
from resnet_cluster.evaluation import Score
from resnet_cluster.spec import JobSpec
from resnet_cluster.spec.lengths import StepLengths
from resnet_cluster.training.context import (
    BadSample,
    Context,
    EpochResult,
    NormsResult,
    Outcome,
    Progress,
)
from resnet_cluster.training.engine import Engine
from resnet_cluster.training.images import Images
from resnet_cluster.training.keeper import Keeper, TrainingState
from resnet_cluster.training.lanes import GENERATOR
from resnet_cluster.training.norms import NormsProbe
from resnet_cluster.training.pulse import Agreed, Pulse
from resnet_cluster.training.rate import LearningRate
from resnet_cluster.training.split import EvalSplit

MAX_BAD_SAMPLES = 100
"""Damaged training images that a rank puts up with: a disk that fails has more."""


class Stopped(Exception):  # noqa: N818 (a way out of the loops, not an error)
    """The training ends before its last step."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass(frozen=True, kw_only=True)
class Best:
    """The weights with the lowest hold-out error so far, on the CPU."""

    step: int
    top1_err: float
    weights: dict[str, Tensor]


@dataclass(kw_only=True)
class Stopwatch:
    """Wall time and steps since the last start."""

    began: float = field(default_factory=time.monotonic)
    steps: int = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self.began, 1e-9)


class Loop:
    """Position and course of one training on one rank.

    Args:
        job: what is trained.
        lengths: the job's lengths in optimiser steps.
        images: this rank's images.
        engine: takes the steps.
        context: the world of this rank.
        keeper: writes the checkpoints.
    """

    def __init__(
        self,
        job: JobSpec,
        lengths: StepLengths,
        images: Images,
        engine: Engine,
        context: Context,
        keeper: Keeper,
    ) -> None:
        self.job = job
        self.lengths = lengths
        self.images = images
        self.engine = engine
        self.context = context
        self.keeper = keeper
        self.rate = LearningRate(job.train, lengths)
        self.pulse = Pulse(engine.device, context.world_size)
        self.step = 0
        self.best: Best | None = None
        self._lr = 0.0
        self._watch = Stopwatch()
        self._bad_places: set[int] = set()

    def run(self) -> None:
        """Train from the present step to the last.

        Raises:
            Stopped: somebody asked for it (a checkpoint has been written), or the loss diverged.
        """
        self.context.training_begins(self.step)
        self.pulse.start(self.step)
        while self.step < self.lengths.num_steps:
            epoch = self.step // self.lengths.steps_per_epoch
            agreed = self._train_epoch(epoch)
            self._finish_epoch(epoch, agreed)

    def state(self) -> TrainingState:
        """The training as it stands between two steps."""
        with GENERATOR:
            random = {"torch": torch.get_rng_state()}
            if self.engine.device.type == "cuda":
                random["cuda"] = torch.cuda.get_rng_state(self.engine.device)
        shared = self.engine.shared_state() | {
            "rate": self.rate.state_dict(),
            "best": asdict(self.best) if self.best else None,
        }
        return TrainingState(step=self.step, shared=shared, addends=self._addends, random=random)

    def load(self, state: TrainingState) -> None:
        """Go on from a state of the same job."""
        self.step = state.step
        self.engine.load_shared_state(state.shared)
        self.rate.load_state_dict(state.shared["rate"])
        self.best = Best(**state.shared["best"]) if state.shared["best"] else None
        torch._foreach_copy_(self._addends, state.addends)
        with GENERATOR:
            if "torch" in state.random:
                torch.set_rng_state(state.random["torch"])
            if "cuda" in state.random and self.engine.device.type == "cuda":
                torch.cuda.set_rng_state(state.random["cuda"], self.engine.device)

    @property
    def _addends(self) -> list[Tensor]:
        return [self.pulse.epoch_mark, self.pulse.window_mark, *self.engine.addends]

    def _train_epoch(self, epoch: int) -> Agreed:
        """Take the epoch's steps from the present one on; returns the agreement at its end."""
        first = self.step - epoch * self.lengths.steps_per_epoch
        end = min((epoch + 1) * self.lengths.steps_per_epoch, self.lengths.num_steps)
        self._watch = Stopwatch()
        with self.images.train.batches(epoch, first_step=first) as batches:
            watched = map(self._watched, batches)
            while True:
                self._take_step(watched, epoch)
                if self.step == end:
                    return self._agree(epoch)
                self._between_steps(epoch)

    def _watched(self, batch: Batch) -> Batch:
        """The batch; its damaged images have been reported, each once."""
        for bad in batch.bad:
            if bad.place in self._bad_places:
                continue
            self._bad_places.add(bad.place)
            self.context.report(BadSample(split="train", place=bad.place, why=bad.why))
            if len(self._bad_places) > MAX_BAD_SAMPLES:
                raise IntegrityError(
                    f"more than {MAX_BAD_SAMPLES} training images are damaged",
                    mend="run `resnet-cluster data verify` on the data set",
                )
        return batch

    def _take_step(self, batches: Iterator[Batch], epoch: int) -> None:
        own = itertools.islice(batches, self.engine.num_micro_batches)
        self._lr = self.rate.at(self.step)
        probe = self._probe(epoch)
        scale = self.engine.loss_scale if probe else 1.0  # a step may change it
        self.engine.step(own, epoch=epoch, lr=self._lr, number=self.step, probe=probe)
        if probe:
            layers = probe.layers(scale)
            self.context.report(NormsResult(epoch=epoch + 1, step=self.step, layers=layers))
        self.step += 1
        self._watch.steps += 1

    def _probe(self, epoch: int) -> NormsProbe | None:
        """Watches the first micro-batch of an epoch, which is the first rank's."""
        every = self.job.evaluate.norms_every
        is_first = self.step == epoch * self.lengths.steps_per_epoch
        if not (every and is_first and epoch % every == 0 and self.context.world_rank == 0):
            return None
        return NormsProbe()

    def _between_steps(self, epoch: int) -> None:
        window = self.rate.window
        at_window = window is not None and self.step % window == 0
        every = self.context.checkpoint_every_steps
        at_checkpoint = every > 0 and self.step % every == 0
        if not (at_window or at_checkpoint or self.pulse.is_due(self.step)):
            return
        agreed = self._agree(epoch)
        if at_checkpoint or agreed.stop:
            self._check_weights()
            self.keeper.save(self.state())
        if agreed.stop:
            raise Stopped(Outcome(state="CANCELLED", step=self.step))

    def _agree(self, epoch: int) -> Agreed:
        """Let the ranks agree, and act on what the sums say."""
        stop = self.context.stop_requested()
        agreed = self.pulse.beat(self.step, self.engine.tally.sums, stop=stop)
        if not math.isfinite(agreed.epoch.loss):
            raise self._diverged("loss is")
        window = self.rate.window
        if window is not None and self.step % window == 0:
            self.rate.observe_window(100.0 * agreed.window.wrong1 / agreed.window.num_images)
            self.pulse.window_mark.copy_(self.engine.tally.sums)
        self.context.report(self._progress(epoch, agreed))
        return agreed

    def _check_weights(self) -> None:
        """Refuse to measure or keep what the last step made infinite before any loss showed it."""
        if not self.engine.is_finite():
            raise self._diverged("weights are")

    def _diverged(self, what: str) -> Stopped:
        message = f"the {what} not finite after {self.step} steps"
        return Stopped(Outcome(state="DIVERGED", step=self.step, message=message))

    def _finish_epoch(self, epoch: int, agreed: Agreed) -> None:
        """Measure, report, keep: in that order, so that a crash between repeats and never skips."""
        seconds, rate = self._watch.seconds, self._images_per_second
        self._check_weights()
        train = agreed.epoch.score(self.images.num_classes)
        holdout = self._measure(self.images.holdout) if self._wants_holdout else None
        observed = self._measure(self.images.test) if self._wants_test(epoch) else None
        result = EpochResult(
            epoch=epoch + 1,
            step=self.step,
            lr=self._lr,
            train=train,
            holdout=holdout,
            observed_test=observed,
            train_seconds=seconds,
            images_per_second=rate,
        )
        self.rate.observe_epoch(
            train_err=train.top1_err, holdout_err=holdout.top1_err if holdout else None
        )
        self._choose(holdout)
        self.pulse.epoch_mark.copy_(self.engine.tally.sums)
        self.context.report(result)
        self.keeper.save(self.state())
        if agreed.stop and self.step < self.lengths.num_steps:
            raise Stopped(Outcome(state="CANCELLED", step=self.step))

    def _choose(self, holdout: Score | None) -> None:
        if self.job.evaluate.select != "best_holdout" or holdout is None:
            return
        if self.best is None or holdout.top1_err < self.best.top1_err:
            weights = self.engine.measured_net().state_dict()
            self.best = Best(
                step=self.step,
                top1_err=holdout.top1_err,
                weights={name: tensor.cpu().clone() for name, tensor in weights.items()},
            )

    def _measure(self, split: EvalSplit | None) -> Score:
        assert split is not None, "the reader of jobs asks for a hold-out"
        return split.measure(self.engine.measured_net())

    @property
    def _wants_holdout(self) -> bool:
        return self.images.holdout is not None

    def _wants_test(self, epoch: int) -> bool:
        every = self.job.evaluate.observe_every
        return every > 0 and (epoch + 1) % every == 0

    @property
    def _images_per_second(self) -> float:
        return self._watch.steps * self.job.train.global_batch_size / self._watch.seconds

    def _progress(self, epoch: int, agreed: Agreed) -> Progress:
        score = agreed.epoch.score(self.images.num_classes)
        steps_left = self.lengths.num_steps - self.step
        return Progress(
            step=self.step,
            num_steps=self.lengths.num_steps,
            epoch=epoch + 1,
            lr=self._lr,
            loss=score.loss,
            top1_err=score.top1_err,
            images_per_second=self._images_per_second,
            remaining_s=steps_left * self._watch.seconds / max(1, self._watch.steps),
        )
