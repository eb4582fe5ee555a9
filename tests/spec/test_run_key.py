"""What a run's key and a recipe's hash cover: every key of a job is classified here by hand."""

from __future__ import annotations

import hashlib
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_values import SHIPPED, job_values
from pydantic import BaseModel

from resnet_cluster.spec import (
    TRAINING_SEMANTICS,
    JobSpec,
    imported_key,
    load_job,
    load_resolved,
    recipe_hash,
    run_key,
)

DATA = "d" * 64
STEP = "train.schedule={kind: step, milestones: [4]%s}"
PLATEAU = "train.schedule={kind: plateau, on: train%s}"
LINEAR_WARMUP = "train.warmup={kind: linear, length: 1%s}"
ERROR_WARMUP = "train.warmup={kind: until_train_error, lr: %s, below: %s%s}"
HOLDOUT = "data.holdout=500"
RANDOM = "data.crop={kind: random_resized, size: %s%s}"
GROWING = RANDOM % (96, ", grow: {from_size: %s, begin: %s, end: %s}")
JITTER = "data.crop={kind: shorter_side_jitter, size: %s%s}"
TORCHVISION = "model={family: torchvision, arch: %s}"
CUSTOM = "model={family: custom, entry: '%s', options: {%s}}"
"""Of a module of these tests: nothing is imported to find its hash."""
VIEW = "data.view={resize: %s, size: %s}"
UNPADDED = "data.augment.pad=0"

# key of a job: (overrides of one job, overrides of another that differs in this key alone)
RECIPE: dict[str, tuple[list[str], list[str]]] = {
    "data.augment.pad": ([], ["data.augment.pad=4"]),
    "data.augment.flip": ([], ["data.augment.flip=true"]),
    "data.augment.color": ([], ["data.augment.color=pca"]),
    "data.crop.random_resized.kind": ([UNPADDED], [UNPADDED, RANDOM % (64, "")]),
    "data.crop.random_resized.size": (
        [UNPADDED, RANDOM % (64, "")],
        [UNPADDED, RANDOM % (96, "")],
    ),
    "data.crop.random_resized.scale": (
        [UNPADDED, RANDOM % (64, "")],
        [UNPADDED, RANDOM % (64, ", scale: [0.25, 1]")],
    ),
    "data.crop.random_resized.ratio": (
        [UNPADDED, RANDOM % (64, "")],
        [UNPADDED, RANDOM % (64, ", ratio: [1, 1]")],
    ),
    "data.crop.random_resized.grow.from_size": (
        [UNPADDED, GROWING % (32, 1, 2)],
        [UNPADDED, GROWING % (64, 1, 2)],
    ),
    "data.crop.random_resized.grow.begin": (
        [UNPADDED, GROWING % (32, 1, 2)],
        [UNPADDED, GROWING % (32, 2, 2)],
    ),
    "data.crop.random_resized.grow.end": (
        [UNPADDED, GROWING % (32, 1, 2)],
        [UNPADDED, GROWING % (32, 1, 3)],
    ),
    "data.crop.shorter_side_jitter.kind": (
        [UNPADDED, JITTER % (64, "")],
        [UNPADDED, RANDOM % (64, "")],
    ),
    "data.crop.shorter_side_jitter.size": (
        [UNPADDED, JITTER % (64, "")],
        [UNPADDED, JITTER % (96, "")],
    ),
    "data.crop.shorter_side_jitter.shorter_side": (
        [UNPADDED, JITTER % (64, "")],
        [UNPADDED, JITTER % (64, ", shorter_side: [64, 80]")],
    ),
    "data.shuffle_pages": ([], ["data.shuffle_pages=64"]),
    "data.view.resize": ([VIEW % (40, 32)], [VIEW % (36, 32)]),
    "data.view.size": ([VIEW % (40, 32)], [VIEW % (40, 40)]),
    "data.normalize": ([], ["data.normalize=channel_mean"]),
    "train.global_batch_size": ([], ["train.global_batch_size=128"]),
    "train.bn_group": ([], ["train.bn_group=64"]),
    "train.epochs": ([], ["train.epochs=9"]),
    "train.iterations": (["train.iterations=9"], ["train.iterations=10"]),
    "train.lr": ([], ["train.lr=0.2"]),
    "train.schedule.step.kind": ([STEP % ""], ["train.schedule={kind: constant}"]),
    "train.schedule.step.milestones": ([STEP % ""], [(STEP % "").replace("4", "4, 5")]),
    "train.schedule.step.gamma": ([STEP % ""], [STEP % ", gamma: 0.2"]),
    "train.schedule.plateau.kind": ([PLATEAU % ""], ["train.schedule={kind: constant}"]),
    "train.schedule.plateau.on": (
        [HOLDOUT, PLATEAU % ""],
        [HOLDOUT, "train.schedule={kind: plateau, on: holdout}"],
    ),
    "train.schedule.plateau.patience": ([PLATEAU % ""], [PLATEAU % ", patience: 6"]),
    "train.schedule.plateau.min_delta": ([PLATEAU % ""], [PLATEAU % ", min_delta: 0"]),
    "train.schedule.plateau.gamma": ([PLATEAU % ""], [PLATEAU % ", gamma: 0.2"]),
    "train.schedule.cosine.kind": ([], ["train.schedule={kind: constant}"]),
    "train.schedule.cosine.final_lr": ([], ["train.schedule.final_lr=0.01"]),
    "train.schedule.linear.kind": (["train.schedule={kind: linear}"], []),
    "train.schedule.linear.final_lr": (
        ["train.schedule={kind: linear}"],
        ["train.schedule={kind: linear, final_lr: 0.01}"],
    ),
    "train.schedule.constant.kind": (["train.schedule={kind: constant}"], []),
    "train.warmup.linear.kind": ([], [LINEAR_WARMUP % ""]),
    "train.warmup.linear.length": ([LINEAR_WARMUP % ""], [LINEAR_WARMUP.replace("1", "2") % ""]),
    "train.warmup.linear.start_lr": ([LINEAR_WARMUP % ""], [LINEAR_WARMUP % ", start_lr: 0.01"]),
    "train.warmup.until_train_error.kind": ([], [ERROR_WARMUP % (0.01, 80, "")]),
    "train.warmup.until_train_error.lr": (
        [ERROR_WARMUP % (0.01, 80, "")],
        [ERROR_WARMUP % (0.02, 80, "")],
    ),
    "train.warmup.until_train_error.below": (
        [ERROR_WARMUP % (0.01, 80, "")],
        [ERROR_WARMUP % (0.01, 70, "")],
    ),
    "train.warmup.until_train_error.window": (
        [ERROR_WARMUP % (0.01, 80, "")],
        [ERROR_WARMUP % (0.01, 80, ", window: 50")],
    ),
    "train.momentum": ([], ["train.momentum=0.8"]),
    "train.nesterov": ([], ["train.nesterov=true"]),
    "train.weight_decay": ([], ["train.weight_decay=5e-4"]),
    "train.decay_bn_and_bias": ([], ["train.decay_bn_and_bias=false"]),
    "train.label_smoothing": ([], ["train.label_smoothing=0.1"]),
    "train.ema.decay": (["train.ema.decay=0.9"], ["train.ema.decay=0.99"]),
    "train.precision": ([], ["train.precision=bf16"]),
}
KEY_ONLY: dict[str, tuple[list[str], list[str]]] = {
    "seed": ([], ["seed=1"]),
    "model.imagenet.family": ([], ["model.family=imagenet"]),
    "model.imagenet.depth": ([], ["model.depth=32"]),
    "model.imagenet.shortcut": ([], ["model.shortcut=B"]),
    "model.imagenet.variant": ([], ["model.variant=v1.5"]),
    "model.imagenet.blur_pool": ([], ["model.blur_pool=true"]),
    "model.torchvision.family": ([], [TORCHVISION % "vgg16"]),
    "model.torchvision.arch": ([TORCHVISION % "vgg16"], [TORCHVISION % "vgg19"]),
    "model.custom.family": ([], [CUSTOM % ("job_values:one", "")]),
    "model.custom.entry": (
        [CUSTOM % ("job_values:one", "")],
        [CUSTOM % ("job_values:two", "")],
    ),
    "model.custom.options": (
        [CUSTOM % ("job_values:one", "width: 1")],
        [CUSTOM % ("job_values:one", "width: 2")],
    ),
    "data.holdout": ([], [HOLDOUT]),
    "train.channels_last": ([], ["train.channels_last=false"]),
    "train.compile": ([], ["train.compile=true"]),
    "evaluate.select": ([HOLDOUT], [HOLDOUT, "evaluate.select=best_holdout"]),
}
NEITHER: dict[str, tuple[list[str], list[str]]] = {
    "name": ([], ["name=other"]),
    "data.name": ([], ["data.name=/elsewhere"]),
    "evaluate.protocols": ([], ["evaluate.protocols=[single, ten-crop, multi-scale]"]),
    "evaluate.scales": ([], ["evaluate.scales=[32, 48]"]),
    "evaluate.centre.resize": ([], ["evaluate.centre={resize: 40, size: 36}"]),
    "evaluate.centre.size": ([], ["evaluate.centre={resize: 40, size: 40}"]),
    "evaluate.average": ([], ["evaluate.average=logits"]),
    "evaluate.predictions_gb": ([], ["evaluate.predictions_gb=0"]),
    "evaluate.norms_every": ([], ["evaluate.norms_every=2"]),
    "evaluate.observe_every": ([], ["evaluate.observe_every=0"]),
    "resources.workers": ([], ["resources.workers=1"]),
    "resources.gpu": ([], ["resources.gpu=no"]),
    "resources.cpus_per_worker": ([], ["resources.cpus_per_worker=2"]),
    "resources.checkpoint_every_steps": ([], ["resources.checkpoint_every_steps=7"]),
}
WITHOUT_OVERRIDE = {"train.shortened_from", "model.custom.source_sha256"}
"""The keys that `--set` cannot vary: only the tool sets them."""

DEFAULTS = {
    "model.imagenet.variant": "v1",
    "model.imagenet.blur_pool": False,
    "model.custom.options": (),
    "model.custom.source_sha256": "",
    "data.holdout": 0,
    "data.augment.color": "none",
    "data.crop": None,
    "data.crop.random_resized.scale": (0.08, 1.0),
    "data.crop.random_resized.ratio": (3 / 4, 4 / 3),
    "data.crop.random_resized.grow": None,
    "data.crop.shorter_side_jitter.shorter_side": (256, 480),
    "data.view": None,
    "data.shuffle_pages": 0,
    "data.normalize": "pixel_mean",
    "train.epochs": None,
    "train.iterations": None,
    "train.schedule.step.gamma": 0.1,
    "train.schedule.plateau.patience": 5,
    "train.schedule.plateau.min_delta": 0.1,
    "train.schedule.plateau.gamma": 0.1,
    "train.schedule.cosine.final_lr": 0.0,
    "train.schedule.linear.final_lr": 0.0,
    "train.warmup": None,
    "train.warmup.linear.start_lr": 0.0,
    "train.warmup.until_train_error.window": 100,
    "train.momentum": 0.9,
    "train.nesterov": False,
    "train.weight_decay": 1e-4,
    "train.decay_bn_and_bias": True,
    "train.label_smoothing": 0.0,
    "train.ema": None,
    "train.channels_last": True,
    "train.compile": False,
}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The specs that a field may hold, through Annotated, Union and None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (typing.Annotated, Union, types.UnionType):
        return [model for part in get_args(annotation) for model in models_in(part)]
    return []


def walk(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Every field of a spec and of the specs in it: dotted key, field, whether it is a leaf."""
    for name, field in model.model_fields.items():
        key = f"{path}{name}"
        inner = models_in(field.annotation)
        yield key, field, not inner
        for each in inner:
            says = each.model_fields.get("kind") or each.model_fields.get("family")
            kind = get_args(says.annotation)[0] if says and len(inner) > 1 else ""
            yield from walk(each, f"{key}.{kind}." if kind else f"{key}.")


def digits(*overrides: str) -> JobSpec:
    return load_job(SHIPPED / "digits_r20.yaml", overrides=overrides).spec


def test_every_key_of_a_job_is_classified() -> None:
    leaves = {key for key, _, is_leaf in walk(JobSpec) if is_leaf}
    assert leaves == {*RECIPE, *KEY_ONLY, *NEITHER, *WITHOUT_OVERRIDE}


@pytest.mark.parametrize("key", RECIPE)
def test_recipe_changes_both(key: str) -> None:
    first, second = (digits(*overrides) for overrides in RECIPE[key])
    assert run_key(first, DATA) != run_key(second, DATA)
    assert recipe_hash(first) != recipe_hash(second)


@pytest.mark.parametrize("key", KEY_ONLY)
def test_the_rest_of_the_experiment_changes_the_key_alone(key: str) -> None:
    first, second = (digits(*overrides) for overrides in KEY_ONLY[key])
    assert run_key(first, DATA) != run_key(second, DATA)
    assert recipe_hash(first) == recipe_hash(second)


@pytest.mark.parametrize("key", NEITHER)
def test_what_changes_no_result_changes_neither(key: str) -> None:
    first, second = (digits(*overrides) for overrides in NEITHER[key])
    assert first != second
    assert run_key(first, DATA) == run_key(second, DATA)
    assert recipe_hash(first) == recipe_hash(second)


def test_a_shortened_run_is_the_experiment_that_it_is() -> None:
    short = digits("train.epochs=2")
    stored = short.model_dump(mode="json")
    assert stored["train"].pop("shortened_from") == "6 epochs"
    assert run_key(load_resolved(stored), DATA) == run_key(short, DATA)
    assert recipe_hash(load_resolved(stored)) == recipe_hash(short)


def test_the_data_sets_content_changes_the_key() -> None:
    assert run_key(digits(), "d" * 64) != run_key(digits(), "e" * 64)


def test_numbers_are_the_same_however_written() -> None:
    assert run_key(digits("train.lr=1"), DATA) == run_key(digits("train.lr=1.0"), DATA)
    assert run_key(digits("train.lr=1e-1"), DATA) == run_key(digits("train.lr=0.1"), DATA)


def test_a_default_is_the_same_written_or_not() -> None:
    written = ["train.momentum=0.9", "train.ema=null", "model.variant=v1", "data.holdout=0"]
    assert run_key(digits(*written), DATA) == run_key(digits(), DATA)


def test_defaults_move_only_with_the_semantics() -> None:
    # A default counts as not given in a key. Where one moves, the same key would mean another
    # experiment: bump TRAINING_SEMANTICS, and then this table.
    covered = {
        key: field.default
        for key, field, _ in walk(JobSpec)
        if key.startswith(("model.", "data.", "train."))
        and not field.is_required()
        and key not in (*NEITHER, "train.shortened_from")
    }
    assert covered == DEFAULTS
    assert JobSpec.model_fields["evaluate"].default.select == "final"
    assert TRAINING_SEMANTICS == 1


def test_the_key_by_hand() -> None:
    covered = {
        "model": {"family": "cifar", "depth": 20, "shortcut": "A"},
        "train": {
            "global_batch_size": 64,
            "bn_group": 32,
            "epochs": 6.0,
            "lr": 0.1,
            "schedule": {"kind": "cosine"},
            "precision": "off",
        },
        "data": {"augment": {"pad": 2, "flip": False}},
        "select": "final",
        "seed": 0,
        "dataset_sha256": DATA,
        "training_semantics": 1,
    }
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    assert run_key(digits(), DATA) == hashlib.sha256(canonical.encode()).hexdigest()


@settings(max_examples=100, deadline=None)
@given(values=job_values(), workers=st.integers(1, 4096))
def test_any_job_keeps_its_key_on_other_machines(values: dict[str, Any], workers: int) -> None:
    job = JobSpec.model_validate(values)
    stored = json.loads(json.dumps(job.model_dump(mode="json")))
    moved = {**stored, "name": "x", "resources": {"workers": workers}}
    moved["data"] = {**stored["data"], "name": "y"}
    assert run_key(load_resolved(moved), DATA) == run_key(job, DATA)
    assert run_key(load_resolved({**stored, "seed": job.seed ^ 1}), DATA) != run_key(job, DATA)


MEASURED = {key for key in KEY_ONLY if key.startswith("model.")}
MEASURED |= {"data.holdout", "data.view.resize", "data.view.size", "data.normalize"}


@pytest.mark.parametrize("key", [*RECIPE, *KEY_ONLY, *NEITHER])
def test_imported_weights_are_known_by_what_they_are_measured_with(key: str) -> None:
    pair = (RECIPE | KEY_ONLY | NEITHER)[key]
    first, second = (imported_key(digits(*overrides), DATA, "w" * 64) for overrides in pair)
    assert (first != second) == (key in MEASURED)


def test_the_seed_counts_where_a_mean_is_taken_over_what_is_not_held_out() -> None:
    one, other = (digits(HOLDOUT, f"seed={seed}") for seed in (1, 2))
    assert imported_key(one, DATA, "w" * 64) != imported_key(other, DATA, "w" * 64)


def test_imported_weights_are_never_a_training() -> None:
    job = digits()
    keys = [imported_key(job, data, weights) for data in ("d", "e") for weights in ("v", "w")]
    assert len({*keys, run_key(job, "d"), run_key(job, "e")}) == 6
