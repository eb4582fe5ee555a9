"""A plan for reading: one JSON object for programs, lines of label and value for people."""

from __future__ import annotations

import dataclasses
from typing import Any

from resnet_cluster.planning.plan import Plan
from resnet_cluster.spec import CustomNetSpec, JobSpec, PaperNetSpec, TorchvisionNetSpec

SCHEMA_VERSION = 1
"""Version of the JSON object; within a version keys are only added."""


def as_json(plan: Plan, job: JobSpec) -> dict[str, Any]:
    """The resolved job, and all that follows from it, as one object ready for JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "job": job.model_dump(mode="json"),
        **dataclasses.asdict(plan),
        "train_sizes": list(plan.train_sizes),
        "milestones": list(plan.milestones),
        "micro_batches": plan.micro_batches,
        "micro_batches_per_worker": list(plan.micro_batches_per_worker),
        "batch_size_per_worker": plan.batch_size_per_worker,
    }


def as_rows(plan: Plan, job: JobSpec) -> list[tuple[str, str]]:
    """The same in words: labels and values, without colour or markup."""
    return [
        ("run", job.name),
        ("network", _network(plan, job)),
        ("data", _data(plan, job)),
        ("batch", _batch(plan)),
        ("length", _length(plan, job)),
        *_turns(plan),
        ("resources", _resources(plan)),
        ("checkpoint", f"about {_size(plan.checkpoint_bytes)}"),
        ("storage", _storage(plan)),
        ("loader", _loader(plan, job)),
        ("key", plan.key),
    ]


def _network(plan: Plan, job: JobSpec) -> str:
    size = f"{_count(plan.num_parameters)} parameters, {plan.flops:.3g} multiply-adds an image"
    match job.model:
        case PaperNetSpec() as model:
            blur = ", BlurPool" if model.blur_pool else ""
            kind = "plain" if model.shortcut == "none" else f"residual, shortcut {model.shortcut}"
            name = f"{model.family} {model.depth} layers, {kind}, {model.variant}{blur}"
        case TorchvisionNetSpec(arch=arch):
            name = f"torchvision's {arch}"
        case CustomNetSpec() as model:
            options = "".join(f", {name}={value}" for name, value in model.options)
            name = f"{model.entry}{options}, source {model.source_sha256[:12]}"
    return f"{name}: {size}"


def _data(plan: Plan, job: JobSpec) -> str:
    holdout = f", {_count(plan.num_holdout_images)} held out" if plan.num_holdout_images else ""
    return (
        f"{job.data.name}: {_count(plan.num_train_images)} images to train on{holdout}, "
        f"{_count(plan.num_test_images)} to test on; {plan.num_classes} classes, {_sides(plan)}"
    )


def _sides(plan: Plan) -> str:
    measured = f"{plan.image_size}x{plan.image_size}"
    if plan.train_sizes == (plan.image_size,):
        return measured
    training = ", then ".join(f"{side}x{side}" for side in plan.train_sizes)
    return f"trained on at {training}, measured at {measured}"


def _batch(plan: Plan) -> str:
    shares = sorted({share * plan.bn_group for share in plan.micro_batches_per_worker})
    return (
        f"{plan.global_batch_size} images a step, normalised in groups of {plan.bn_group}; "
        f"{' or '.join(map(str, shares))} on each worker"
    )


def _length(plan: Plan, job: JobSpec) -> str:
    epochs = plan.num_steps / plan.steps_per_epoch
    length = f"{_count(plan.num_steps)} steps: {epochs:.4g} epochs of {plan.steps_per_epoch}"
    own = job.train.shortened_from
    return f"{length}; the job file's own length is {own}" if own else length


def _turns(plan: Plan) -> list[tuple[str, str]]:
    turns = []
    if plan.warmup_steps:
        turns.append(("warm-up", f"{_count(plan.warmup_steps)} steps"))
    if plan.milestones:
        at = ", ".join(map(_count, plan.milestones))
        turns.append(("milestones", f"the rate drops at step {at}"))
    return turns


def _storage(plan: Plan) -> str:
    room = f"about {_size(plan.storage_bytes)} of room"
    if not plan.predictions_bytes:
        return room
    return f"{room}, {_size(plan.predictions_bytes)} of it for the predictions of its tests"


def _loader(plan: Plan, job: JobSpec) -> str:
    buffers = f"{_size(plan.loader_bytes)} of buffers for each worker"
    if not plan.window_bytes:
        return buffers
    return (
        f"{buffers}; {_count(job.data.shuffle_pages)} pages are shuffled together, for which each "
        f"machine needs {_size(plan.window_bytes)} of page cache"
    )


def _resources(plan: Plan) -> str:
    resources = plan.resources
    workers = "1 worker" if resources.workers == 1 else f"{resources.workers} workers"
    gpus = f" and {resources.gpus_per_worker} GPU" if resources.gpus_per_worker else ""
    return f"{workers}, each with {resources.cpus_per_worker} CPU{gpus}"


def _count(number: int) -> str:
    return f"{number:,}"


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"
