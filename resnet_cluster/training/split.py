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
    CentreCrop,
    EvalLoader,
    Manifest,
    Normalize,
    SplitName,
    TenCrop,
    WholeImage,
    open_images,
)
from resnet_cluster.evaluation import (
    Contents,
    PredictionsWriter,
    Score,
    ViewBatch,
    evaluate_single,
    evaluate_views,
    padded_ten_crops,
)
from resnet_cluster.spec import (
    PAD,
    Centre,
    Flip,
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
    name: SplitName
    dataset_sha256: str
    num_images: int
    """Images of the whole split, over all ranks."""
    num_classes: int
    device: torch.device
    on_views: Callable[[int], None] = lambda number: None
    """Called with the number of views that this rank has just brought to the network."""

    def num_views(self, protocol: Protocol) -> int:
        """Views that `protocol` shows of this rank's images."""
        return protocol.num_views * self.loader.num_images

    def contents(self, protocol: Protocol, select: str, step: int) -> Contents:
        """What predictions of this split hold, before there are files of them.

        Args:
            protocol: the views.
            select: the rule that chose the weights.
            step: of the weights.
        """
        return Contents(
            protocol=protocol.identity,
            split=self.name,
            select=select,
            step=step,
            dataset_sha256=self.dataset_sha256,
            num_images=self.num_images,
            num_views=protocol.num_views,
            num_classes=self.num_classes,
        )

    def measure(
        self,
        net: nn.Module,
        protocol: Protocol | None = None,
        writer: PredictionsWriter | None = None,
    ) -> Score:
        """Errors of a network over the split; every rank calls it and gets the same.

        Args:
            net: the network.
            protocol: the views; a single one by default.
            writer: keeps what the network says of each view.
        """
        match protocol:
            case Flip():
                return self._measure_views(net, protocol, self._mirrored(), writer)
            case TenCrops():
                return self._measure_views(net, protocol, self._ten_crops(protocol), writer)
            case MultiScale():
                return self._measure_views(net, protocol, self._scales(protocol), writer)
            case Centre():
                view = CentreCrop(side=protocol.size, resize=protocol.resize)
                return self._measure_single(net, writer, view, self.pixels.normalize_any)
            case SingleView() | None:
                return self._measure_single(net, writer, None, self.pixels.normalize)

    def _measure_single(
        self,
        net: nn.Module,
        writer: PredictionsWriter | None,
        view: CentreCrop | None,
        normalize: Normalize,
    ) -> Score:
        with self.loader.batches(view) as batches:
            return evaluate_single(
                net,
                map(self._counted, batches),
                normalize,
                num_images=self.num_images,
                num_classes=self.num_classes,
                device=self.device,
                writer=writer,
            )

    def _measure_views(
        self,
        net: nn.Module,
        protocol: Flip | TenCrops | MultiScale,
        batches: Iterator[ViewBatch],
        writer: PredictionsWriter | None,
    ) -> Score:
        return evaluate_views(
            net,
            batches,
            sample_ids=self.loader.sample_ids,
            num_views=protocol.num_views,
            num_images=self.num_images,
            num_classes=self.num_classes,
            device=self.device,
            average=protocol.average,
            writer=writer,
        )

    def _mirrored(self) -> Iterator[ViewBatch]:
        """Each image and its mirror image, which is made where training makes it."""
        with self.loader.batches() as batches:
            for batch in batches:
                self.on_views(2 * len(batch.labels))
                upright, normalize = batch.images, self.pixels.normalize
                if self.loader.cuts:
                    both = normalize(upright), normalize(upright.flip(-1))
                else:  # the mean image is mirrored with the image
                    both = normalize(upright), normalize(upright).flip(-1)
                images = torch.stack(both, dim=1).flatten(0, 1)
                yield ViewBatch(images, batch.labels, batch.sample_ids)

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
        for number, (scale, mirrored) in enumerate(protocol.views):
            view = WholeImage(resize=scale, mirrored=mirrored)
            yield from self._seen(view, self.pixels.normalize_any, number)

    def _seen(
        self, view: TenCrop | WholeImage, normalize: Normalize, first_view: int = 0
    ) -> Iterator[ViewBatch]:
        with self.loader.batches(view) as batches:
            for batch in map(self._counted, batches):
                images = normalize(batch.images)
                yield ViewBatch(images, batch.labels, batch.sample_ids, first_view)

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
        UsageError: an image is too long for a scale that the job measures.
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
    asked = protocols(job, manifest.image_size)
    for protocol in asked:
        if isinstance(protocol, MultiScale):
            loader.check(WholeImage(resize=max(protocol.scales)))
    return EvalSplit(
        loader=loader,
        pixels=pixels,
        protocols=asked,
        name=split,
        dataset_sha256=manifest.sha256,
        num_images=len(indices),
        num_classes=len(manifest.classes),
        device=context.device,
    )
