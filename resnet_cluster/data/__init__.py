"""Images to batches: sources, preparation, manifests, splits, order, loaders, augmentation.

Names are imported when they are first used: a command that only asks for a manifest imports
neither torch nor ffcv.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnet_cluster.data.augment import ColorShift, Normalize, PadCropFlip
    from resnet_cluster.data.batches import BadSample, Batch, BatchIterator
    from resnet_cluster.data.beton import read_labels
    from resnet_cluster.data.check import check_dataset
    from resnet_cluster.data.image_source import NUM_BUFFERS, ImageSource, open_images
    from resnet_cluster.data.loader import EvalLoader, TrainLoader
    from resnet_cluster.data.manifest import (
        KNOWN_SOURCES,
        Manifest,
        check_name,
        list_datasets,
        load_manifest,
    )
    from resnet_cluster.data.manifest_fields import MEAN_SIDE, SplitName
    from resnet_cluster.data.opening import open_source
    from resnet_cluster.data.order import (
        count_micro_batches,
        epoch_order,
        rank_batches,
        rank_micro_batches,
        steps_per_epoch,
    )
    from resnet_cluster.data.pixels import best_engine
    from resnet_cluster.data.preparation import Prepared, prepare
    from resnet_cluster.data.random_views import RandomResizedCrop, ShorterSideJitter
    from resnet_cluster.data.request import PreparationPlan, Progress
    from resnet_cluster.data.splits import split_holdout
    from resnet_cluster.data.statistics import PixelStatistics, training_statistics
    from resnet_cluster.data.views import CentreCrop, TenCrop, View, WholeImage

_MODULES = {
    "augment": ("ColorShift", "Normalize", "PadCropFlip"),
    "batches": ("BadSample", "Batch", "BatchIterator"),
    "beton": ("read_labels",),
    "check": ("check_dataset",),
    "image_source": ("NUM_BUFFERS", "ImageSource", "open_images"),
    "loader": ("EvalLoader", "TrainLoader"),
    "manifest": (
        "KNOWN_SOURCES",
        "Manifest",
        "check_name",
        "list_datasets",
        "load_manifest",
    ),
    "manifest_fields": ("MEAN_SIDE", "SplitName"),
    "opening": ("open_source",),
    "order": (
        "count_micro_batches",
        "epoch_order",
        "rank_batches",
        "rank_micro_batches",
        "steps_per_epoch",
    ),
    "pixels": ("best_engine",),
    "preparation": ("Prepared", "prepare"),
    "random_views": ("RandomResizedCrop", "ShorterSideJitter"),
    "request": ("PreparationPlan", "Progress"),
    "splits": ("split_holdout",),
    "statistics": ("PixelStatistics", "training_statistics"),
    "views": ("CentreCrop", "TenCrop", "View", "WholeImage"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "KNOWN_SOURCES",
    "MEAN_SIDE",
    "NUM_BUFFERS",
    "BadSample",
    "Batch",
    "BatchIterator",
    "CentreCrop",
    "ColorShift",
    "EvalLoader",
    "ImageSource",
    "Manifest",
    "Normalize",
    "PadCropFlip",
    "PixelStatistics",
    "PreparationPlan",
    "Prepared",
    "Progress",
    "RandomResizedCrop",
    "ShorterSideJitter",
    "SplitName",
    "TenCrop",
    "TrainLoader",
    "View",
    "WholeImage",
    "best_engine",
    "check_dataset",
    "check_name",
    "count_micro_batches",
    "epoch_order",
    "list_datasets",
    "load_manifest",
    "open_images",
    "open_source",
    "prepare",
    "rank_batches",
    "rank_micro_batches",
    "read_labels",
    "split_holdout",
    "steps_per_epoch",
    "training_statistics",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
