"""One training from its job to its figures."""

from __future__ import annotations

import torch
from torch import nn

from resnet_cluster.checkpoints import save_weights
from resnet_cluster.data import Manifest
from resnet_cluster.evaluation import Score
from resnet_cluster.nets import build_model
from resnet_cluster.spec import JobSpec, Protocol
from resnet_cluster.spec.lengths import schedule_in_steps
from resnet_cluster.training.context import Context, FinalResult, Outcome, WeightsFile
from resnet_cluster.training.engine import Engine
from resnet_cluster.training.images import Images, build_images
from resnet_cluster.training.keeper import Keeper
from resnet_cluster.training.lanes import GENERATOR, Lane
from resnet_cluster.training.loop import Loop, Stopped
from resnet_cluster.training.memory import keep_freed_memory
from resnet_cluster.training.predictions import measure_and_keep, shelf_of


def run(job: JobSpec, manifest: Manifest, context: Context) -> Outcome:
    """Train a job to its end, going on from its newest checkpoint; every rank calls it.

    Args:
        job: what is trained.
        manifest: the data set that the job names.
        context: the world of this rank.

    Returns:
        How it ended, the same on every rank.

    Raises:
        IntegrityError: the images or all checkpoints are damaged.
        OSError: the storage is full or cannot be written.
    """
    torch.backends.cudnn.benchmark = True  # images of an epoch are all of one size
    if context.device.type == "cpu":
        keep_freed_memory()
    with Lane(context.device):
        return _train(job, manifest, context)


def _train(job: JobSpec, manifest: Manifest, context: Context) -> Outcome:
    images = build_images(job, manifest, context)
    loop = build_loop(job, images, context)
    newest = loop.keeper.newest()
    if newest is not None:
        loop.load(newest)
    try:
        loop.run()
    except Stopped as stopped:
        return stopped.outcome
    _finish(loop, context)
    return Outcome(state="SUCCEEDED", step=loop.step)


def build_loop(job: JobSpec, images: Images, context: Context) -> Loop:
    """A loop at its first step, with freshly initialised weights."""
    lengths = schedule_in_steps(job.train, images.train.steps_per_epoch)
    engine = Engine(
        initialised_net(job, images.num_classes, context.device),
        job.train,
        images.pixels,
        world_rank=context.world_rank,
        world_size=context.world_size,
        micro_batches=images.train.micro_batches,
        seed=job.seed,
    )
    return Loop(job, lengths, images, engine, context, Keeper(context))


def initialised_net(job: JobSpec, num_classes: int, device: torch.device) -> nn.Module:
    """The job's network with the weights that its seed gives, the same on every rank."""
    with GENERATOR:
        torch.manual_seed(job.seed)
        net = build_model(job.model, num_classes)
    layout = torch.channels_last if job.train.channels_last else torch.contiguous_format
    return net.to(device).to(memory_format=layout)


def final_result(job: JobSpec, protocol: Protocol, step: int, score: Score) -> FinalResult:
    """A figure of a job's selected weights, which are those after `step`."""
    return FinalResult(
        protocol=protocol.identity,
        select=job.evaluate.select,
        ema=job.train.ema is not None,
        step=step,
        score=score,
    )


def _finish(loop: Loop, context: Context) -> None:
    """Write the selected weights down, then measure them under the job's protocols."""
    net = loop.engine.measured_net()
    step = loop.step
    if loop.best is not None:
        net.load_state_dict(loop.best.weights)
        step = loop.best.step
    if context.world_rank == 0:
        path = context.run_dir / "weights.pt"
        weights = {name: tensor.cpu() for name, tensor in net.state_dict().items()}
        context.report(WeightsFile(path=path, sha256=save_weights(path, weights)))
    shelf = shelf_of(loop.job, context)
    for protocol in loop.images.test.protocols:
        contents = loop.images.test.contents(protocol, loop.job.evaluate.select, step)
        measured = measure_and_keep(loop.images.test, net, protocol, contents, shelf)
        context.report(final_result(loop.job, protocol, step, measured.score))
