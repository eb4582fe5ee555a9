"""What a network said of each view of each image, kept so that nothing need be measured twice.

<folder>/contents.json     what was measured, and the files with their SHA-256; written last
<folder>/000-of-002.npy    one rank's images, a record each, in the order of their numbers

Log-probabilities are float16. The five best of each view lie beside them in float32 and take their
places when they are read, so that rounding decides between no two of them. The folder is a cache:
it may be removed, and measuring again makes it anew.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from resnet_cluster.errors import IntegrityError
from resnet_cluster.files import sha256_of, sync, write_whole

_CONTENTS = "contents.json"
_NUM_BEST = 5
_LEAST = float(torch.finfo(torch.float16).min)


class PredictionsFile(BaseModel):
    """One rank's images."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^\d{3,}-of-\d{3,}\.npy$")
    sha256: str
    num_bytes: int = Field(ge=0)


class Contents(BaseModel):
    """What a folder of predictions holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    protocol: str
    split: str
    select: str
    step: int
    """Of the weights."""
    dataset_sha256: str
    num_images: int = Field(ge=1)
    num_views: int = Field(ge=1)
    num_classes: int = Field(ge=1)
    files: tuple[PredictionsFile, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return self.num_images * record_type(self.num_views, self.num_classes).itemsize


def record_type(num_views: int, num_classes: int) -> np.dtype[Any]:
    """One image: its number, its class, and what the network said of it."""
    num_best = min(_NUM_BEST, num_classes)
    return np.dtype(
        [
            ("sample_id", "<i8"),
            ("label", "<i4"),
            ("log_probs", "<f2", (num_views, num_classes)),
            ("best", "<i4", (num_views, num_best)),
            ("best_log_probs", "<f4", (num_views, num_best)),
            # Which of the best of the averaged scores is the image's class, if one is.
            ("hits", "?", (num_best,)),
        ]
    )


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


def seal_predictions(folder: Path, contents: Contents) -> None:
    """Say that the files of `contents` are whole, and remove those of another time.

    Raises:
        OSError: the disk cannot be written.
    """
    write_whole(folder / _CONTENTS, contents.model_dump_json(indent=1).encode() + b"\n")
    kept = {_CONTENTS, *(file.name for file in contents.files)}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink(missing_ok=True)


def break_seal(folder: Path) -> None:
    """Say that what is in the folder is no longer to be read."""
    (folder / _CONTENTS).unlink(missing_ok=True)


def read_contents(folder: Path) -> Contents | None:
    """What the folder holds; None where it holds nothing whole, or nothing that can be read."""
    try:
        return Contents.model_validate_json((folder / _CONTENTS).read_bytes())
    except (OSError, ValidationError):
        return None


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
            raise _damaged(folder, "it has no contents that can be read")
        self.folder, self.contents = folder, contents
        kind = record_type(contents.num_views, contents.num_classes)
        self._files = [_records(folder, file, kind) for file in contents.files]
        self._ids = [np.ascontiguousarray(records["sample_id"]) for records in self._files]
        ids = np.sort(np.concatenate([*self._ids, np.empty(0, np.int64)]))
        if not np.array_equal(ids, np.arange(contents.num_images)):
            raise _damaged(folder, f"its files do not hold {contents.num_images} images once each")

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


def _records(folder: Path, file: PredictionsFile, kind: np.dtype[Any]) -> NDArray[Any]:
    path = folder / file.name
    try:
        if sha256_of(path) != file.sha256:
            raise _damaged(folder, f"the SHA-256 of {file.name} differs")
        records: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{file.name} cannot be read") from error
    if records.dtype != kind or records.ndim != 1:
        raise _damaged(folder, f"{file.name} does not hold what the contents say")
    return records


def _damaged(folder: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{folder}: {why}",
        mend="remove the folder, and measure the run again with `resnet-cluster evaluate`",
    )


def in_rows(num_images: int, num_rows: int) -> Iterator[tuple[int, int]]:
    """First and end of each group of rows."""
    for start in range(0, num_images, num_rows):
        yield start, min(start + num_rows, num_images)


def total_bytes(folders: Sequence[Path]) -> int:
    """Size of whole predictions in several folders."""
    found = (read_contents(folder) for folder in folders)
    return sum(contents.num_bytes for contents in found if contents)
