"""Which experiment a job is: hashes of what changes its result, and of nothing else."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

from resnet_cluster.spec.base import Spec
from resnet_cluster.spec.data import DataSpec
from resnet_cluster.spec.job import JobSpec
from resnet_cluster.spec.train import TrainSpec

TRAINING_SEMANTICS = 1
"""Bumped by hand whenever the same job would give other losses than before, or a default moves."""

PIXELS_VERSION = "v1"
"""Of the crops that `data.pixels` cuts: another gives other pixels, and figures that are not
compared."""


def run_key(job: JobSpec, dataset_sha256: str) -> str:
    """The key of an experiment: the same key is the same experiment, on whatever machines.

    It covers the network, the recipe, the transforms and the split of the data, the rule that
    selects the weights, the seed, the data set's content and TRAINING_SEMANTICS; not the names of
    the run and of the data set, the resources, the protocols or what is only observed. A value that
    is its key's default counts as not given, so that keys stay as they are when a later version
    has more to choose from.

    Args:
        job: the job.
        dataset_sha256: SHA-256 of the prepared data set, in hexadecimal.

    Returns:
        A SHA-256 in hexadecimal.
    """
    covered = {
        "model": _given(job.model),
        "train": _recipe(job.train),
        "data": _without(_transforms(job.data), "name"),
        "select": job.evaluate.select,
        "seed": job.seed,
        "dataset_sha256": dataset_sha256,
        "training_semantics": TRAINING_SEMANTICS,
    }
    return _sha256(covered)


def imported_key(job: JobSpec, dataset_sha256: str, weights_sha256: str) -> str:
    """The key of weights that were trained elsewhere: never that of a training.

    It covers the weights, the network and how the images are prepared that it is measured on; the
    seed only where it chooses a hold-out, over the rest of which a mean is taken.

    Args:
        job: says which network it is, and how its images are prepared.
        dataset_sha256: SHA-256 of the prepared data set, in hexadecimal.
        weights_sha256: SHA-256 of the names, shapes and values of the weights.

    Returns:
        A SHA-256 in hexadecimal.
    """
    measured = job.data.model_dump(mode="json", include={"view", "normalize", "holdout"})
    covered = {
        "imported": weights_sha256,
        "model": _given(job.model),
        "data": measured | ({"pixels": PIXELS_VERSION} if job.data.view else {}),
        "seed": job.seed if job.data.holdout else None,
        "dataset_sha256": dataset_sha256,
    }
    return _sha256(covered)


def recipe_hash(job: JobSpec) -> str:
    """The identity of a recipe: two figures with the same one were trained alike.

    It covers the recipe and the transforms of the data. The network, the data set, the split, the
    seed and the selection rule are not the recipe's: a table states them beside it. Neither are
    `channels_last` and `compile`, which change the rounding of sums and nothing else.

    Returns:
        A SHA-256 in hexadecimal.
    """
    return _recipe_hash(job.train, job.data)


@functools.lru_cache(maxsize=1024)
def _recipe_hash(train: TrainSpec, data: DataSpec) -> str:
    # Thousands of runs have few recipes between them.
    return _sha256(
        {
            "train": _without(_recipe(train), "channels_last", "compile"),
            "transforms": _without(_transforms(data), "name", "holdout"),
        }
    )


def _recipe(train: TrainSpec) -> dict[str, Any]:
    return _without(_given(train), "shortened_from")


def _transforms(data: DataSpec) -> dict[str, Any]:
    pixels = {"pixels": PIXELS_VERSION} if data.cuts else {}
    return _given(data) | pixels


def _given(section: Spec) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_defaults=True)


def _without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _sha256(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
