"""Of what size a network sees images, and whether a data set has what that needs."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_cluster.planning.facts import DataFacts
from resnet_cluster.spec import (
    JobSource,
    JobSpec,
    RandomResizedSpec,
    StepLengths,
    crop_side,
)


@dataclass(frozen=True, kw_only=True)
class ImageSizes:
    """Heights and widths in pixels."""

    training: tuple[int, ...]
    """Of the training images, one size after the other as the training goes on."""
    measured: int
    """Of the images that are measured."""


def image_sizes(
    job: JobSpec, data: DataFacts, lengths: StepLengths, source: JobSource
) -> ImageSizes:
    """The sizes that a job shows its network.

    Raises:
        JobError: the data set's images are of many sizes and the job does not say how they are cut,
            or it subtracts a mean image or shifts colours that the data set has not.
    """
    _check_cut(job, data, source)
    measured = job.data.view.size if job.data.view else data.image_size
    assert measured is not None
    sizes = ImageSizes(training=_training_sizes(job, data, lengths), measured=measured)
    _check_mean(job, data, sizes, source)
    if job.data.augment.color == "pca" and not data.has_covariance:
        raise source.error(
            "data.augment.color",
            f"the covariance of {job.data.name}'s colours is not known: it was prepared by an "
            "earlier version",
            mend="prepare it again under another name, or set data.augment.color to none",
        )
    return sizes


def _training_sizes(job: JobSpec, data: DataFacts, lengths: StepLengths) -> tuple[int, ...]:
    crop = job.data.crop
    if crop is None:
        assert data.image_size is not None
        return (data.image_size,)
    if not isinstance(crop, RandomResizedSpec) or crop.grow is None:
        return (crop.size,)
    steps = lengths.steps_per_epoch
    sides = (crop_side(crop, job.train, epoch, steps) for epoch in range(lengths.num_epochs))
    return tuple(dict.fromkeys(sides))


def _check_cut(job: JobSpec, data: DataFacts, source: JobSource) -> None:
    if data.image_size is not None:
        return
    for key, example in (
        ("crop", "{kind: random_resized, size: 224}"),
        ("view", "{resize: 256, size: 224}"),
    ):
        if getattr(job.data, key) is None:
            raise source.error(
                f"data.{key}",
                f"{job.data.name} holds images of many sizes, and the job has no data.{key}",
                mend=f"add it, such as `{key}: {example}`; or prepare the data set again under "
                "another name with --size, as raw squares",
            )


def _check_mean(job: JobSpec, data: DataFacts, sizes: ImageSizes, source: JobSource) -> None:
    """A mean image can be subtracted from images of its own size alone."""
    mean = data.mean_size or data.image_size
    others = sorted({*sizes.training, sizes.measured} - {mean})
    if job.data.normalize == "pixel_mean" and others:
        raise source.error(
            "data.normalize",
            f"the mean image of {job.data.name} has {mean}x{mean} pixels, and it would be "
            f"subtracted from images of {' and '.join(map(str, others))}",
            mend="set data.normalize to channel_mean, or to channel_mean_std",
        )
