"""A run's network on its test images, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from resnet_cluster.data import Manifest
from resnet_cluster.evaluation import LayerResponse, measure_responses
from resnet_cluster.spec import JobSpec
from resnet_cluster.training.context import Context
from resnet_cluster.training.measure import open_test_split, run_statistics, trained_net
from resnet_cluster.training.parity import evenly


def run_responses(
    job: JobSpec,
    manifest: Manifest,
    weights: dict[str, Tensor],
    context: Context,
    *,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[LayerResponse, ...]:
    """The responses of a run's network to its test images, as the job shows them.

    Args:
        job: the run's.
        manifest: its data set.
        weights: the run's.
        context: the world of this process.
        limit: images at most, evenly over the split; None takes all.
        on_progress: called with the images done, and all.

    Raises:
        IntegrityError: an image is damaged, or a file is not what was prepared.
    """
    indices = evenly(manifest.test.num_images, limit)
    split = open_test_split(job, manifest, indices, run_statistics(job, manifest), context)

    def images() -> Iterator[Tensor]:
        done = 0
        with split.loader.batches() as batches:
            for batch in batches:
                yield split.pixels.normalize(batch.images)
                done += len(batch.labels)
                on_progress(done, len(indices))

    return measure_responses(trained_net(job, split, weights), images())
