"""Keeps what a network says while it is measured, where the run's storage has room for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import nn

from resnet_cluster.evaluation import (
    Contents,
    PredictionsFile,
    PredictionsWriter,
    Score,
    break_seal,
    predictions_folder,
    seal_predictions,
    total_bytes,
)
from resnet_cluster.spec import JobSpec, Protocol
from resnet_cluster.training.context import Context
from resnet_cluster.training.split import EvalSplit

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """Where one rank of a run keeps predictions."""

    run_dir: Path
    limit_bytes: int
    """Of all of the run's predictions together."""
    world_rank: int
    world_size: int

    def refusal(self, contents: Contents) -> str:
        """Why there is no room for these; empty where there is."""
        folder = self.folder(contents)
        others = [other for other in folder.parent.glob("*") if other != folder]
        left = self.limit_bytes - total_bytes(others)
        if contents.num_bytes <= left:
            return ""
        return (
            f"they need {contents.num_bytes / 1e9:.2g} GB, and of evaluate.predictions_gb "
            f"{max(left, 0) / 1e9:.2g} GB are left"
        )

    def folder(self, contents: Contents) -> Path:
        """The predictions' own."""
        return predictions_folder(self.run_dir, contents.protocol, contents.split, contents.select)

    @property
    def file_name(self) -> str:
        """Of this rank's file."""
        return f"{self.world_rank:03d}-of-{self.world_size:03d}.npy"


def shelf_of(job: JobSpec, context: Context) -> Shelf:
    """Where a rank of a job's run keeps predictions."""
    return Shelf(
        run_dir=context.run_dir,
        limit_bytes=int(job.evaluate.predictions_gb * 1e9),
        world_rank=context.world_rank,
        world_size=context.world_size,
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A figure, and why its predictions were not kept; empty where they were."""

    score: Score
    not_kept: str


def measure_and_keep(
    split: EvalSplit, net: nn.Module, protocol: Protocol, contents: Contents, shelf: Shelf
) -> Measured:
    """Errors of a network over a split; every rank calls it and gets the same.

    A disk that is full costs the predictions, never the figure.

    Args:
        split: the split.
        net: the network.
        protocol: the views.
        contents: what will be kept, without its files.
        shelf: where.
    """
    refusal = _from_first(_prepared(contents, shelf) if shelf.world_rank == 0 else None)
    writer, why = (None, refusal) if refusal else _writer(split, contents, shelf)
    score = split.measure(net, protocol, writer)
    file, why = (None, why) if writer is None else _finished(writer)
    outcomes = _from_all((file, why))
    files = [file for file, _ in outcomes if file]
    not_kept = next((why for _, why in outcomes if why), "")
    if not not_kept and shelf.world_rank == 0:
        not_kept = _sealed(contents.model_copy(update={"files": tuple(files)}), shelf)
    not_kept = _from_first(not_kept)
    if not_kept:
        # For a worker's log; `evaluate` tells it in its own words.
        _LOG.info("predictions under %s are not kept: %s", contents.protocol, not_kept)
        if file:
            (shelf.folder(contents) / file.name).unlink(missing_ok=True)
    return Measured(score=score, not_kept=not_kept)


def _prepared(contents: Contents, shelf: Shelf) -> str:
    if refusal := shelf.refusal(contents):
        return refusal
    break_seal(shelf.folder(contents))
    return ""


def _writer(
    split: EvalSplit, contents: Contents, shelf: Shelf
) -> tuple[PredictionsWriter | None, str]:
    try:
        writer = PredictionsWriter(
            shelf.folder(contents),
            shelf.file_name,
            split.loader.sample_ids,
            num_views=contents.num_views,
            num_classes=contents.num_classes,
        )
    except OSError as error:
        return None, _words(error)
    return writer, ""


def _finished(writer: PredictionsWriter) -> tuple[PredictionsFile | None, str]:
    try:
        return writer.finish(), ""
    except OSError as error:
        writer.discard()
        return None, _words(error)


def _sealed(contents: Contents, shelf: Shelf) -> str:
    try:
        seal_predictions(shelf.folder(contents), contents)
    except OSError as error:
        return _words(error)
    return ""


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _from_first(value: Any) -> Any:
    """The first rank's value, on every rank."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def _from_all(value: Any) -> list[Any]:
    """Every rank's value, on every rank."""
    if not dist.is_initialized():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
