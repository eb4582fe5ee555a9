"""A split that networks are measured on, under any protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resnet_cluster.data import (
    Batch,
    EvalLoader,
    Manifest,
    Normalize,
    SplitName,
    TenCrop,
    WholeImage,
    open_images,
)
from resnet_cluster.evaluation import (
    Score,
    ViewBatch,
    evaluate_single,
    evaluate_views,
    padded_ten_crops,
)
from resnet_cluster.spec import (
    PAD,
    Average,
    JobSpec,
    MultiScale,
    Protocol,
    SingleView,
    TenCrops,
    protocols,
)
from resnet_cluster.training.context import Context
from resnet_cluster.training.pixels import Pixels
from resnet_cluster.training.views import evaluation_view

EVAL_BATCH_SIZE = 500
EVAL_BATCH_PIXELS = 6_400_000
"""Images and pixels of an evaluation batch, at most; no figure depends on them."""


@dataclass(frozen=True, kw_only=True)
class EvalSplit:
    """A split that networks are measured on, without augmentation."""

    loader: EvalLoader
    pixels: Pixels
    protocols: tuple[Protocol, ...]
    """Those that the job asks for."""
    num_images: int
    """Images of the whole split, over all ranks."""
    num_classes: int
    device: torch.device
    on_views: Callable[[int], None] = lambda number: None
    """Called with the number of views that this rank has just brought to the network."""

    def num_views(self, protocol: Protocol) -> int:
        """Views that `protocol` shows of this rank's images."""
        match protocol:
            case TenCrops():
                return 10 * self.loader.num_images
            case MultiScale():
                return 2 * len(protocol.scales) * self.loader.num_images
            case SingleView():
                return self.loader.num_images

    def measure(self, net: nn.Module, protocol: Protocol | None = None) -> Score:
        """Errors of a network over the split; every rank calls it and gets the same.

        Args:
            net: the network.
            protocol: the views; a single one by default.
        """
        match protocol:
            case TenCrops(average=average):
                return self._measure_views(net, self._ten_crops(protocol), 10, average)
            case MultiScale(average=average):
                num_views = 2 * len(protocol.scales)
                return self._measure_views(net, self._scales(protocol), num_views, average)
            case SingleView() | None:
                return self._measure_single(net)

    def _measure_single(self, net: nn.Module) -> Score:
        with self.loader.batches() as batches:
            return evaluate_single(
                net,
                map(self._counted, batches),
                self.pixels.normalize,
                num_images=self.num_images,
                num_classes=self.num_classes,
                device=self.device,
            )

    def _measure_views(
        self, net: nn.Module, batches: Iterator[ViewBatch], num_views: int, average: Average
    ) -> Score:
        return evaluate_views(
            net,
            batches,
            sample_ids=self.loader.sample_ids,
            num_views=num_views,
            num_images=self.num_images,
            num_classes=self.num_classes,
            device=self.device,
            average=average,
        )

    def _ten_crops(self, protocol: TenCrops) -> Iterator[ViewBatch]:
        if protocol.resize is None:
            with self.loader.batches() as batches:
                for batch in batches:
                    self.on_views(10 * len(batch.labels))
                    images = padded_ten_crops(self.pixels.normalize(batch.images), PAD)
                    yield ViewBatch(images, batch.labels, batch.sample_ids)
            return
        view = TenCrop(side=protocol.size, resize=protocol.resize)
        yield from self._seen(view, self.pixels.normalize)

    def _scales(self, protocol: MultiScale) -> Iterator[ViewBatch]:
        for scale in protocol.scales:
            for mirrored in (False, True):
                view = WholeImage(resize=scale, mirrored=mirrored)
                yield from self._seen(view, self.pixels.normalize_any)

    def _seen(self, view: TenCrop | WholeImage, normalize: Normalize) -> Iterator[ViewBatch]:
        with self.loader.batches(view) as batches:
            for batch in map(self._counted, batches):
                yield ViewBatch(normalize(batch.images), batch.labels, batch.sample_ids)

    def _counted(self, batch: Batch) -> Batch:
        self.on_views(len(batch.images))
        return batch


def build_eval_split(
    job: JobSpec,
    manifest: Manifest,
    split: SplitName,
    indices: NDArray[np.int64],
    pixels: Pixels,
    context: Context,
) -> EvalSplit:
    """A split as a job measures it, and this rank's share of it.

    Raises:
        IntegrityError: a beton is missing, truncated or not such a file.
    """
    loader = EvalLoader(
        open_images(manifest, split, num_threads=context.loader_threads),
        indices=indices,
        batch_size=EVAL_BATCH_SIZE,
        batch_pixels=EVAL_BATCH_PIXELS,
        world_rank=context.world_rank,
        world_size=context.world_size,
        device=context.device,
        view=evaluation_view(job.data),
    )
    return EvalSplit(
        loader=loader,
        pixels=pixels,
        protocols=protocols(job, manifest.image_size),
        num_images=len(indices),
        num_classes=len(manifest.classes),
        device=context.device,
    )
