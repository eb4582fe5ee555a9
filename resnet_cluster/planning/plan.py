"""A job and a data set in, a plan out: pure arithmetic, and the refusals that it can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_cluster.data import NUM_BUFFERS, rank_micro_batches, steps_per_epoch
from resnet_cluster.nets import check_architecture
from resnet_cluster.planning.facts import DataFacts
from resnet_cluster.planning.sizes import ImageSizes, image_sizes
from resnet_cluster.spec import (
    JobSource,
    JobSpec,
    PaperNetSpec,
    protocols,
    run_key,
    schedule_in_steps,
)

if TYPE_CHECKING:
    from resnet_cluster.nets import NetFacts

KEPT_CHECKPOINTS = 3
"""Checkpoints on the disk at once: the two that are kept, and one being written."""
_FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a run asks of a cluster."""

    workers: int
    cpus_per_worker: int
    gpus_per_worker: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a job will do on a data set."""

    key: str
    """Hash of what changes the result; the same key is the same experiment."""
    dataset_sha256: str
    num_parameters: int
    flops: int
    """Multiply-adds of one image, forward."""
    num_train_images: int
    """Images trained on: the training split less the hold-out."""
    num_holdout_images: int
    num_test_images: int
    num_classes: int
    image_size: int
    """Height and width of the images that are measured, in pixels."""
    train_sizes: tuple[int, ...]
    """The same of the training images, one size after the other as the training goes on."""
    global_batch_size: int
    bn_group: int
    micro_batches_per_worker: tuple[int, ...]
    """Micro-batches of a step that each worker computes, by rank."""
    steps_per_epoch: int
    num_steps: int
    num_epochs: int
    """Epochs begun; the last one may be cut short."""
    milestones: tuple[int, ...]
    """Steps at which a step schedule's rate drops."""
    warmup_steps: int
    resources: Resources
    checkpoint_bytes: int
    """Size of a checkpoint, estimated from the parameters."""
    storage_bytes: int
    """Room that the run's storage should have: checkpoints, final weights, kept predictions."""
    predictions_bytes: int
    """Of that the predictions: those of each protocol in turn that `evaluate.predictions_gb` has
    room for."""
    loader_bytes: int
    """Memory of one worker's buffers of training images, at most."""
    window_bytes: int
    """Page cache that a machine needs for the pages that are shuffled together, and for those that
    are next; 0 where all images are shuffled, which reads at random whatever is not in memory."""
    page_bytes: int
    """Of a page of the training split's file."""

    @property
    def micro_batches(self) -> int:
        """Micro-batches of a step, over all workers."""
        return sum(self.micro_batches_per_worker)

    @property
    def batch_size_per_worker(self) -> int:
        """Images of a step on the worker that has most of them."""
        return max(self.micro_batches_per_worker) * self.bn_group


def plan(
    job: JobSpec,
    data: DataFacts,
    *,
    source: JobSource | None = None,
    has_gpu: bool = False,
    cpus_per_worker: int = 1,
) -> Plan:
    """The plan of a job on the data set that it names.

    Args:
        job: the job.
        data: the data set's facts.
        source: where the job's values were said, so that a refusal names the place.
        has_gpu: whether the cluster has a GPU, for jobs that take one where there is one.
        cpus_per_worker: CPU cores of each worker, for jobs that do not say how many.

    Raises:
        JobError: there is no such network, the data set is too small for the batch or the
            hold-out or holds images that the job does not say how to cut, or there are more
            workers than micro-batches.
    """
    source = source or JobSource()
    check_model(job, source)
    num_train_images = _train_images(job, data, source)
    with source.blamed("train.global_batch_size"):
        epoch_steps = steps_per_epoch(num_train_images, job.train.global_batch_size)
    lengths = schedule_in_steps(job.train, epoch_steps)
    micro_batches_per_worker = _micro_batches_per_worker(job, source)
    sizes = image_sizes(job, data, lengths, source)
    facts = _net_facts(job, data.num_classes, sizes, source)
    checkpoint_bytes = _checkpoint_bytes(job, facts.num_parameters)
    predictions_bytes = _predictions_bytes(job, data)
    end_bytes = _FLOAT_BYTES * facts.num_parameters + predictions_bytes
    return Plan(
        key=run_key(job, data.sha256),
        dataset_sha256=data.sha256,
        num_parameters=facts.num_parameters,
        flops=facts.flops,
        num_train_images=num_train_images,
        num_holdout_images=job.data.holdout,
        num_test_images=data.num_test_images,
        num_classes=data.num_classes,
        image_size=sizes.measured,
        train_sizes=sizes.training,
        global_batch_size=job.train.global_batch_size,
        bn_group=job.train.bn_group,
        micro_batches_per_worker=micro_batches_per_worker,
        steps_per_epoch=lengths.steps_per_epoch,
        num_steps=lengths.num_steps,
        num_epochs=lengths.num_epochs,
        milestones=lengths.milestones,
        warmup_steps=lengths.warmup_steps,
        resources=_resources(job, has_gpu=has_gpu, cpus=cpus_per_worker),
        checkpoint_bytes=checkpoint_bytes,
        storage_bytes=KEPT_CHECKPOINTS * checkpoint_bytes + end_bytes,
        predictions_bytes=predictions_bytes,
        loader_bytes=NUM_BUFFERS * job.train.bn_group * 3 * max(sizes.training) ** 2,
        page_bytes=data.page_bytes,
        window_bytes=min(2 * job.data.shuffle_pages * data.page_bytes, data.train_bytes),
    )


def check_model(job: JobSpec, source: JobSource) -> None:
    """Refuse a network that there is not; of others than the paper's that is seen when it is built.

    Raises:
        JobError: the error names the place.
    """
    model = job.model
    if not isinstance(model, PaperNetSpec):
        return  # it is tried out when it is counted
    with source.blamed("model.depth"):
        check_architecture(model.family, model.depth, model.shortcut)
    with source.blamed("model.variant"):
        check_architecture(model.family, model.depth, model.shortcut, model.variant)


def _train_images(job: JobSpec, data: DataFacts, source: JobSource) -> int:
    """Images that are left to train on."""
    holdout = job.data.holdout
    if holdout == 0:
        return data.num_train_images
    most = data.num_train_images - job.train.global_batch_size
    least = data.num_classes
    if least <= holdout <= most:
        return data.num_train_images - holdout
    message = f"a hold-out of {holdout} images of {data.num_train_images}"
    if holdout < least:
        message += f" cannot have one of each of the {least} classes"
    else:
        message += f" leaves less than one global batch of {job.train.global_batch_size}"
    mend = "set data.holdout to 0"
    if least <= most:
        mend += f", or from {least} to {most}"
    raise source.error("data.holdout", message, mend=mend)


def _micro_batches_per_worker(job: JobSpec, source: JobSource) -> tuple[int, ...]:
    batch, group, workers = job.train.global_batch_size, job.train.bn_group, job.resources.workers
    with source.blamed("resources.workers"):
        shares = [
            rank_micro_batches(
                global_batch_size=batch, bn_group=group, world_rank=rank, world_size=workers
            )
            for rank in range(workers)
        ]
    return tuple(len(share) for share in shares)


def _net_facts(job: JobSpec, num_classes: int, sizes: ImageSizes, source: JobSource) -> NetFacts:
    """Parameters, and multiply-adds of one image that is measured."""
    from resnet_cluster.nets import describe_model  # imports torch: only once all else is well

    evaluate = job.evaluate
    others = evaluate.scales if "multi-scale" in evaluate.protocols else ()
    if evaluate.centre and "centre" in evaluate.protocols:
        others = (*others, evaluate.centre.size)
    with source.blamed("model.entry" if job.model.family == "custom" else "model.arch"):
        return describe_model(
            job.model,
            num_classes=num_classes,
            sizes=(sizes.measured, *sizes.training),
            measured_sizes=others,
            watched=job.evaluate.norms_every > 0,
        )


def _predictions_bytes(job: JobSpec, data: DataFacts) -> int:
    from resnet_cluster.evaluation import record_type  # as above

    left = limit = int(job.evaluate.predictions_gb * 1e9)
    for protocol in protocols(job, data.image_size):
        needed = data.num_test_images * record_type(protocol.num_views, data.num_classes).itemsize
        if needed <= left:
            left -= needed
    return limit - left


def _resources(job: JobSpec, *, has_gpu: bool, cpus: int) -> Resources:
    wants_gpu = job.resources.gpu == "yes" or (job.resources.gpu == "auto" and has_gpu)
    return Resources(
        workers=job.resources.workers,
        cpus_per_worker=job.resources.cpus_per_worker or cpus,
        gpus_per_worker=int(wants_gpu),
    )


def _checkpoint_bytes(job: JobSpec, num_parameters: int) -> int:
    """Weights and momentum, and where the job has them the average and the best so far."""
    has_average, has_best = job.train.ema is not None, job.evaluate.select == "best_holdout"
    return (2 + has_average + has_best) * _FLOAT_BYTES * num_parameters
