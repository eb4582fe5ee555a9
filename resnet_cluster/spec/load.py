"""From a job file and a command line to a job."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from resnet_cluster.errors import IntegrityError, JobError
from resnet_cluster.spec.base import Spec
from resnet_cluster.spec.complaint import validated
from resnet_cluster.spec.job import JobSpec, Name, Seed
from resnet_cluster.spec.overrides import Override, flag_override, overridden, parse_override
from resnet_cluster.spec.reader import Document, load_yaml
from resnet_cluster.spec.resize import settle_length
from resnet_cluster.spec.source import JobSource, KeyPath, dotted_key
from resnet_cluster.spec.vocabulary import NOT_BY_HAND

MAX_CARRIED = 64 * 1024
"""Characters of a job that another file carries."""


class LoadedJob(NamedTuple):
    """A job, and the place of each of its values for those who find fault with one later."""

    spec: JobSpec
    source: JobSource


def load_job(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    seed: int | None = None,
    workers: int | None = None,
    data: str | None = None,
) -> LoadedJob:
    """Read a job file and change it as a command line says.

    Args:
        path: the job file.
        overrides: texts as after `--set`, a later one over an earlier one.
        name: value of `--name`; it and the next three go over `overrides`.
        seed: value of `--seed`.
        workers: value of `--workers`.
        data: value of `--data`.

    Raises:
        UsageError: an override is not KEY=VALUE.
        JobError: the file cannot be read, or the job cannot be meant; the error names the line or
            the option at fault.
    """
    return _changed(
        load_yaml(Path(path)), overrides, _flags(name=name, seed=seed, workers=workers, data=data)
    )


def load_carried_job(
    text: str,
    where: str,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    data: str | None = None,
) -> LoadedJob:
    """A job that a file of weights carries as JSON: as foreign as any, and read as strictly.

    Args:
        text: JSON of a resolved job.
        where: names the file in errors.
        overrides: texts as after `--set`.
        name: value of `--name`; it and the next go over `overrides`.
        data: value of `--data`.

    Raises:
        UsageError: an override is not KEY=VALUE.
        JobError: it is not a job, or the job cannot be meant.
    """
    mend = "give a job file as well"
    if len(text) > MAX_CARRIED:
        message = f"carries a job of more than {MAX_CARRIED // 1024} KiB"
        raise JobError(message, where=where, mend=mend)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise JobError("carries a job that is not JSON", where=where, mend=mend) from None
    if not isinstance(values, dict):
        raise JobError("carries no job, but another JSON value", where=where, mend=mend)
    document = Document(values, JobSource({(): where}))
    flags = _flags(name=name, seed=None, workers=None, data=data)
    changes = [*map(parse_override, overrides), *flags]
    job = overridden(document, changes)
    return LoadedJob(validated(job.values, job.source), job.source)


def _changed(file: Document, overrides: Sequence[str], flags: Sequence[Override]) -> LoadedJob:
    changes = [*map(parse_override, overrides), *flags]
    job = overridden(file, changes)
    if NOT_BY_HAND in job.source.places:
        raise job.source.error(
            dotted_key(NOT_BY_HAND),
            f"{dotted_key(NOT_BY_HAND)} is set by the tool, and cannot be set by hand",
            mend="remove it; it appears when an override changes the job's length",
        )
    job = settle_length(file, job)
    return LoadedJob(validated(job.values, job.source), job.source)


def load_resolved(job: Mapping[str, object]) -> JobSpec:
    """The job that was stored as `spec.model_dump(mode="json")`.

    Raises:
        IntegrityError: it is not such a job, or one of another version of this tool.
    """
    try:
        # Thousands of runs have few jobs between them, but for their names and seeds.
        own = _Own.model_validate({key: job[key] for key in ("name", "seed") if key in job})
        rest = {key: value for key, value in job.items() if key not in ("name", "seed")}
        update = {"name": own.name, "seed": own.seed}
        return _load_shared(json.dumps(rest)).model_copy(update=update)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"]))
        raise IntegrityError(
            f"the stored job is not one that this version can read: {key}: {fault['msg']}",
            mend="use the version of resnet-cluster that stored it",
        ) from None


class _Own(Spec):
    """What a run has to itself."""

    name: Name
    seed: Seed


@functools.lru_cache(maxsize=256)
def _load_shared(rest: str) -> JobSpec:
    """A job of any name and seed, from the JSON of its other keys."""
    return JobSpec.model_validate({"name": "any", "seed": 0} | json.loads(rest))


def _flags(
    *, name: str | None, seed: int | None, workers: int | None, data: str | None
) -> list[Override]:
    flags: list[tuple[str, KeyPath, str | int | None]] = [
        ("--name", ("name",), name),
        ("--seed", ("seed",), seed),
        ("--workers", ("resources", "workers"), workers),
        ("--data", ("data", "name"), data),
    ]
    return [flag_override(flag, path, value) for flag, path, value in flags if value is not None]
