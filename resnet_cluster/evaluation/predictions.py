"""Predictions on their way to the disk, and back: what `contents` says of a folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_cluster.evaluation.contents import (
    PredictionsFile,
    damaged,
    open_records,
    read_contents,
    record_type,
)
from resnet_cluster.files import sha256_of, sync

_LEAST = float(torch.finfo(torch.float16).min)


class PredictionsWriter:
    """Writes one rank's file; until `finish` has run there is none.

    Args:
        folder: of the predictions; made where it is not there.
        name: of the file.
        sample_ids: int64, this rank's images.
        num_views: of each image.
        num_classes: of the data set.

    Raises:
        OSError: the disk has no room for the whole file, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        sample_ids: NDArray[np.int64],
        *,
        num_views: int,
        num_classes: int,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / name
        # Another process may be measuring the same run: the last to finish leaves its files.
        self._part = folder / f".{name}.{secrets.token_hex(4)}.part"
        self._ids = np.sort(sample_ids)
        kind = record_type(num_views, num_classes)
        try:
            shape = (len(sample_ids),)
            self._records = np.lib.format.open_memmap(self._part, "w+", dtype=kind, shape=shape)
            self._take_room()
        except OSError:
            self.discard()
            raise
        self._records["sample_id"] = self._ids

    def add(
        self,
        logits: Tensor,
        labels: Tensor,
        sample_ids: NDArray[np.int64],
        *,
        first_view: int = 0,
    ) -> None:
        """Add the scores of a batch's views.

        Args:
            logits: float [b * k, classes], k views of each image, one after the other.
            labels: int64 [b].
            sample_ids: int64 [b].
            first_view: number of the first of the k views.
        """
        log_probs = logits.float().log_softmax(dim=1)
        top = log_probs.topk(self._records["best"].shape[-1], dim=1)
        places = np.searchsorted(self._ids, sample_ids)
        num_images = len(sample_ids)
        views = slice(first_view, first_view + len(logits) // num_images)

        def put(field: str, values: Tensor) -> None:
            self._records[field][places, views] = (
                values.view(num_images, -1, values.shape[1]).cpu().numpy()
            )

        put("log_probs", log_probs.clamp_min(_LEAST).half())
        put("best", top.indices.int())
        put("best_log_probs", top.values)
        self._records["label"][places] = labels.cpu().numpy()

    def settle(self, hits: Tensor, sample_ids: NDArray[np.int64]) -> None:
        """Say which of the best of the averaged scores are right, bool [b, best]."""
        self._records["hits"][np.searchsorted(self._ids, sample_ids)] = hits.cpu().numpy()

    def finish(self) -> PredictionsFile:
        """Write the file whole.

        Raises:
            OSError: the disk cannot be written.
        """
        self._records.flush()
        sync(self._part)
        file = PredictionsFile(
            name=self._path.name,
            sha256=sha256_of(self._part),
            num_bytes=self._part.stat().st_size,
        )
        os.replace(self._part, self._path)
        return file

    def discard(self) -> None:
        """Leave nothing of it."""
        self._part.unlink(missing_ok=True)

    def _take_room(self) -> None:
        """Have the disk hold the whole file now: a mapped one that fills it kills the process."""
        with self._part.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Some images, as a run saw them.

    Attributes:
        log_probs: float32 [b, views, classes].
        labels: int64 [b].
        hits: bool [b, best], which of the best of the run's averaged scores is right.
    """

    log_probs: Tensor
    labels: Tensor
    hits: Tensor


class Predictions:
    """The kept predictions of one run under one protocol.

    Args:
        folder: where they are.

    Raises:
        IntegrityError: they are not whole, or not what was written.
    """

    def __init__(self, folder: Path) -> None:
        contents = read_contents(folder)
        if contents is None:
            raise damaged(folder, "it has no contents that can be read")
        self.folder, self.contents = folder, contents
        kind = record_type(contents.num_views, contents.num_classes)
        self._files = [open_records(folder, file, kind) for file in contents.files]
        self._ids = [np.ascontiguousarray(records["sample_id"]) for records in self._files]
        ids = np.sort(np.concatenate([*self._ids, np.empty(0, np.int64)]))
        if not np.array_equal(ids, np.arange(contents.num_images)):
            raise damaged(folder, f"its files do not hold {contents.num_images} images once each")

    def scores(self, start: int, end: int) -> Scores:
        """Those of the images from `start` to before `end`."""
        records = np.empty(end - start, self._files[0].dtype)
        for ids, file in zip(self._ids, self._files, strict=True):
            first, last = np.searchsorted(ids, (start, end))
            records[ids[first:last] - start] = file[first:last]
        # What was not among the best is not rounded into their ranks.
        bound = np.nextafter(records["best_log_probs"][..., -1:], np.float32(-np.inf))
        log_probs = np.minimum(records["log_probs"].astype(np.float32), bound)
        np.put_along_axis(log_probs, records["best"], records["best_log_probs"], axis=2)
        return Scores(
            log_probs=torch.from_numpy(log_probs),
            labels=torch.from_numpy(records["label"].astype(np.int64)),
            hits=torch.from_numpy(np.ascontiguousarray(records["hits"])),
        )


def in_rows(num_images: int, num_rows: int) -> Iterator[tuple[int, int]]:
    """First and end of each group of rows."""
    for start in range(0, num_images, num_rows):
        yield start, min(start + num_rows, num_images)
