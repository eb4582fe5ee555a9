"""A source to betons, mean image and manifest, in one folder."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.decode import load_pixels
from resnet_cluster.data.manifest import (
    MEAN_NAME,
    SPLIT_NAMES,
    Manifest,
    ManifestFields,
    SourceRecord,
    SplitName,
    SplitRecord,
    write_manifest,
)
from resnet_cluster.data.opening import open_source
from resnet_cluster.data.request import ConversionRequest, PreparationPlan, Progress
from resnet_cluster.data.sources import Example, Source, file_sha256
from resnet_cluster.data.splits import split_holdout
from resnet_cluster.data.statistics import PixelSums
from resnet_cluster.data.writer import BetonWriter, StoredImage, page_bytes, squares_bytes
from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.files import sha256_of, sync

TEST_SHARE = 5
"""One image in five is held out of a source that has no test split."""
CHUNK = 32
TICK_S = 0.2
SMALL_BYTES = 16 << 10
"""Below it, threads that decode cost more in handing over than they gain."""
MAX_THREADS = 8
_Loaded = tuple[list[NDArray[np.uint8]], set[str]]


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
        splits, test_split = _splits(source, request.seed)
        plan = _plan(source, splits, test_split, request)
        tell(plan)
        if plan.free_bytes < plan.num_bytes:
            raise PreflightError(
                f"{folder.parent}: {plan.num_bytes / 1e6:,.0f} MB are needed for the prepared "
                f"images and {plan.free_bytes / 1e6:,.0f} MB are free",
                mend="free some space, or name another disk with --out",
            )
        conversion = _Conversion(request, source, plan, ticker)
        for split in SPLIT_NAMES:
            conversion.write(split, splits[split])
        records = {split: conversion.record(split, splits[split]) for split in SPLIT_NAMES}
    shutil.rmtree(folder / "download", ignore_errors=True)
    statistics = conversion.sums.statistics()
    np.save(folder / MEAN_NAME, statistics.pixel_mean, allow_pickle=False)
    sync(folder / MEAN_NAME)
    fields = ManifestFields(
        name=request.name,
        source=SourceRecord(kind=source.kind, description=source.description, sha256=source.sha256),
        encoding=source.encoding or "+".join(sorted(conversion.encodings)),
        image_size=plan.side,
        requested_size=request.size,
        classes=source.classes,
        train=records["train"],
        test=records["test"],
        test_split=test_split,
        seed=request.seed,
        channel_mean=_triple(statistics.channel_mean),
        channel_std=_triple(statistics.channel_std),
        mean_sha256=sha256_of(folder / MEAN_NAME),
        ffcv_version=importlib.metadata.version("ffcv"),
    )
    write_manifest(Manifest.sealed(fields), folder)


class Ticker:
    """Turns signs of life into progress, at most one every TICK_S of a stage."""

    def __init__(self, tell: Callable[[PreparationPlan | Progress], None]) -> None:
        self._tell = tell
        self._stage, self._told_s = "", 0.0
        self._began_s = self._last_s = time.monotonic()

    def tick(self, stage: str, done: int, total: int, current: str = "") -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began_s, self._told_s = stage, self._last_s, 0.0
        self._last_s = now
        if now - self._told_s >= TICK_S or done == total:
            self._told_s = now
            self._tell(Progress(stage, done, total, now - self._began_s, current))


class _Conversion:
    """Writes the betons, and gathers what the manifest says of the pixels."""

    def __init__(
        self, request: ConversionRequest, source: Source, plan: PreparationPlan, ticker: Ticker
    ) -> None:
        self.sums = PixelSums(plan.side)
        self.encodings: set[str] = set()
        self._request, self._source, self._plan, self._ticker = request, source, plan, ticker
        self._num_done = 0

    def write(self, split: SplitName, examples: Sequence[Example]) -> None:
        """Write one beton, in order; large images are decoded in threads."""
        path = self._path(split)
        page = page_bytes(3 * self._plan.side**2)
        with BetonWriter(path, max_images=len(examples), page_bytes=page) as writer:
            for chunk, (images, encodings) in self._loaded(examples):
                self.encodings |= encodings
                if split == "train":
                    self.sums.add(np.stack(images))
                for example, image in zip(chunk, images, strict=True):
                    writer.add(StoredImage.raw(image), example.label)
                self._num_done += len(chunk)
                total = self._plan.num_train + self._plan.num_test
                self._ticker.tick("converting", self._num_done, total, chunk[-1].name)
        sync(path)

    def record(self, split: SplitName, examples: Sequence[Example]) -> SplitRecord:
        """What the manifest says of a beton that is written."""
        path = self._path(split)
        labels = [example.label for example in examples]
        return SplitRecord(
            num_images=len(examples),
            class_counts=tuple(np.bincount(labels, minlength=self._plan.num_classes).tolist()),
            num_bytes=path.stat().st_size,
            sha256=file_sha256(path, self._ticker.tick, f"hashing {path.name}"),
        )

    def _path(self, split: SplitName) -> Path:
        return Path(self._request.folder) / f"{split}.beton"

    def _loaded(self, examples: Sequence[Example]) -> Iterator[tuple[Sequence[Example], _Loaded]]:
        chunks = (examples[start : start + CHUNK] for start in range(0, len(examples), CHUNK))
        first = self._source.read(examples[0])
        if isinstance(first, np.ndarray) or len(first) < SMALL_BYTES:
            for chunk in chunks:
                yield chunk, self._load(chunk, self._read(chunk))
            return
        num_threads = min(len(os.sched_getaffinity(0)), MAX_THREADS)
        pending: deque[tuple[Sequence[Example], Future[_Loaded]]] = deque()
        with ThreadPoolExecutor(num_threads) as pool:
            try:
                for chunk in chunks:
                    pending.append((chunk, pool.submit(self._load, chunk, self._read(chunk))))
                    if len(pending) > 2 * num_threads:
                        done, future = pending.popleft()
                        yield done, future.result()
                for done, future in pending:
                    yield done, future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, chunk: Sequence[Example]) -> list[bytes | NDArray[np.uint8]]:
        return [self._source.read(example) for example in chunk]

    def _load(
        self, chunk: Sequence[Example], contents: Sequence[bytes | NDArray[np.uint8]]
    ) -> _Loaded:
        images, encodings = [], set()
        for example, content in zip(chunk, contents, strict=True):
            pixels, encoding = load_pixels(content, example.name, self._request.size)
            if len(pixels) != self._plan.side:
                raise UsageError(
                    f"{example.name}: is {len(pixels)}x{len(pixels)} pixels, and others are "
                    f"{self._plan.side}x{self._plan.side}",
                    mend="give the size to resize to and crop: --size 32",
                )
            images.append(pixels)
            encodings.add(encoding)
        return images, encodings


def _splits(
    source: Source, seed: int
) -> tuple[Mapping[SplitName, Sequence[Example]], Literal["source", "holdout"]]:
    examples = source.splits["train"]
    if "test" in source.splits:
        return source.splits, "source"
    labels = np.asarray([example.label for example in examples], np.int64)
    train, test = split_holdout(labels, round(len(labels) / TEST_SHARE), seed)
    if len(test) == 0 or len(np.unique(labels[train])) < len(source.classes):
        raise UsageError(
            f"{source.description}: has too few images to hold out a test split",
            mend="add images, or lay them out as train/<class>/<image> and test/<class>/<image>",
        )
    return {
        "train": [examples[place] for place in train],
        "test": [examples[place] for place in test],
    }, "holdout"


def _plan(
    source: Source,
    splits: Mapping[SplitName, Sequence[Example]],
    test_split: str,
    request: ConversionRequest,
) -> PreparationPlan:
    first = splits["train"][0]
    pixels, _ = load_pixels(source.read(first), first.name, request.size)
    sizes = [len(splits[split]) for split in SPLIT_NAMES]
    return PreparationPlan(
        num_train=sizes[0],
        num_test=sizes[1],
        num_classes=len(source.classes),
        test_split=test_split,
        side=len(pixels),
        num_bytes=sum(squares_bytes(size, len(pixels)) for size in sizes),
        free_bytes=shutil.disk_usage(request.folder).free,
        num_ignored=source.num_ignored,
    )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue
