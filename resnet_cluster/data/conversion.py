"""A source to betons, mean image and manifest, in one folder."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.chunks import ChunkEncoder
from resnet_cluster.data.conversion_plan import Splits, choose_splits, estimate, form_of
from resnet_cluster.data.encoding import Encoding, Form, Squares
from resnet_cluster.data.kept import Kept
from resnet_cluster.data.manifest import MEAN_NAME, Manifest, checksums_path, write_manifest
from resnet_cluster.data.manifest_fields import (
    SPLIT_NAMES,
    ManifestFields,
    SourceRecord,
    SplitName,
    SplitRecord,
    Triple,
)
from resnet_cluster.data.opening import open_source
from resnet_cluster.data.request import ConversionRequest, PreparationPlan, Progress
from resnet_cluster.data.sources import Source, file_sha256
from resnet_cluster.data.statistics import PixelSums
from resnet_cluster.data.ticker import Ticker
from resnet_cluster.data.writer import BetonWriter
from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.files import sha256_of, sync


def convert(request: ConversionRequest, tell: Callable[[PreparationPlan | Progress], None]) -> None:
    """Convert a source into `request.folder`, the manifest last.

    Args:
        tell: is given the plan before the first image is converted, and progress several times
            a second.

    Raises:
        UsageError, PreflightError, IntegrityError: see `prepare`.
        OSError: the disk is full.
    """
    folder = Path(request.folder)
    ticker = Ticker(tell)
    with closing(open_source(request.source, scratch=folder, tick=ticker.tick)) as source:
        splits = choose_splits(source, request)
        form = form_of(source, splits, request)
        plan = estimate(source, splits, form, request)
        tell(plan)
        _check_space(plan, folder)
        conversion = _Conversion(request, source, splits, form, ticker)
        records = {split: conversion.write(split) for split in SPLIT_NAMES}
        kept = conversion.kept
    shutil.rmtree(folder / "download", ignore_errors=True)
    statistics = kept.sums.statistics()
    assert statistics.channel_covariance is not None
    np.save(folder / MEAN_NAME, statistics.pixel_mean, allow_pickle=False)
    sync(folder / MEAN_NAME)
    fields = ManifestFields(
        name=request.name,
        source=SourceRecord(kind=source.kind, description=source.description, sha256=source.sha256),
        encoding=source.encoding or "+".join(sorted(kept.formats)),
        mode=form.mode if isinstance(form, Encoding) else "raw",
        image_size=form.side if isinstance(form, Squares) else None,
        storage=kept.storage(form) if isinstance(form, Encoding) else None,
        requested_size=request.size,
        classes=source.classes,
        class_names=source.class_names,
        train=records["train"],
        test=records["test"],
        test_split=splits.test,
        seed=request.seed,
        limit=request.limit,
        num_rotated=kept.num_rotated,
        num_bad=kept.num_bad,
        bad=tuple(kept.bad),
        channel_mean=_triple(statistics.channel_mean),
        channel_std=_triple(statistics.channel_std),
        channel_covariance=_triple_of_triples(statistics.channel_covariance),
        mean_sha256=sha256_of(folder / MEAN_NAME),
        ffcv_version=importlib.metadata.version("ffcv"),
    )
    write_manifest(Manifest.sealed(fields), folder)


class _Conversion:
    """Writes the betons, and gathers what the manifest says of the images."""

    def __init__(
        self,
        request: ConversionRequest,
        source: Source,
        splits: Splits,
        form: Form,
        ticker: Ticker,
    ) -> None:
        self.kept = Kept(PixelSums(form.mean_side))
        self._folder, self._classes = Path(request.folder), source.classes
        self._splits, self._form, self._ticker = splits, form, ticker
        self._encoder = ChunkEncoder(
            source=source, encode=form.encode, mean_side=form.mean_side, on_bad=request.on_bad
        )
        self._num_done = 0

    def write(self, split: SplitName) -> SplitRecord:
        """Write one beton, in order, and return what the manifest says of it."""
        examples = self._splits.examples[split]
        path = self._folder / f"{split}.beton"
        labels: list[int] = []
        page_bytes = self._form.page_bytes
        with BetonWriter(path, max_images=len(examples), page_bytes=page_bytes) as writer:
            for chunk in self._encoder.chunks(examples):
                for example, encoded in chunk.encoded:
                    writer.add(encoded.stored, example.label)
                    labels.append(example.label)
                self.kept.add(chunk, split)
                self._num_done += len(chunk.encoded) + len(chunk.bad)
                self._ticker.tick(
                    "converting", self._num_done, self._splits.num_images, chunk.last_name
                )
            self._check_left(split, labels)
        sync(path)
        checksums = checksums_path(self._folder, split)
        np.save(checksums, writer.checksums, allow_pickle=False)
        sync(checksums)
        return SplitRecord(
            num_images=len(labels),
            class_counts=tuple(np.bincount(labels, minlength=len(self._classes)).tolist()),
            num_bytes=path.stat().st_size,
            sha256=file_sha256(path, self._ticker.tick, f"hashing {path.name}"),
            checksums_sha256=sha256_of(checksums),
        )

    def _check_left(self, split: SplitName, labels: list[int]) -> None:
        """Refuse a split of which too little is left once bad images are left out."""
        asked = {example.label for example in self._splits.examples[split]}
        gone = asked - set(labels)
        if not labels or (split == "train" and gone):
            what = "no image" if not labels else f"no image of {self._classes[min(gone)]}"
            raise UsageError(
                f"{what} is left for the {split} split: {self.kept.num_bad} could not be kept, "
                f"such as {self.kept.bad[0].name}",
                mend="fetch the source again, or remove that class from it",
            )


def _check_space(plan: PreparationPlan, folder: Path) -> None:
    if plan.free_bytes < plan.num_bytes:
        raise PreflightError(
            f"{folder.parent}: {plan.num_bytes / 1e6:,.0f} MB are needed for the prepared "
            f"images and {plan.free_bytes / 1e6:,.0f} MB are free",
            mend="free some space, or name another disk with --out",
        )


def _triple(values: NDArray[np.float64]) -> Triple:
    red, green, blue = values.tolist()
    return red, green, blue


def _triple_of_triples(values: NDArray[np.float64]) -> tuple[Triple, Triple, Triple]:
    first, second, third = map(_triple, values)
    return first, second, third
