"""From a job file and a command line to a job."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from resnet_cluster.errors import IntegrityError, JobError
from resnet_cluster.spec.base import Spec
from resnet_cluster.spec.code import find_code
from resnet_cluster.spec.complaint import validated
from resnet_cluster.spec.job import JobSpec, Name, Seed
from resnet_cluster.spec.model import CustomNetSpec
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
    flags = flag_overrides(name=name, seed=seed, workers=workers, data=data)
    return load_changed(load_yaml(Path(path)), [*map(parse_override, overrides), *flags])


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
    flags = flag_overrides(name=name, seed=None, workers=None, data=data)
    changes = [*map(parse_override, overrides), *flags]
    job = overridden(document, changes)
    spec = validated(job.values, job.source)
    if isinstance(spec.model, CustomNetSpec):
        # Which code runs is for the user to say, and for no file that came from elsewhere.
        message = f"is of a network of somebody's own code ({spec.model.entry})"
        mend = "give a job file as well, that names this code where you have it"
        raise JobError(message, where=where, mend=mend)
    return LoadedJob(spec, job.source)


def load_changed(file: Document, changes: Sequence[Override]) -> LoadedJob:
    """The job of a file with changes made to it, a later one over an earlier one.

    Raises:
        JobError: the job cannot be meant; the error names the line or the option at fault.
    """
    job = overridden(file, changes)
    for path_by_tool in NOT_BY_HAND:
        if path_by_tool in job.source.places:
            key = dotted_key(path_by_tool)
            message = f"{key} is set by the tool, and cannot be set by hand"
            raise job.source.error(key, message, mend="remove it")
    job = settle_length(file, job)
    return LoadedJob(_with_code(validated(job.values, job.source), job.source), job.source)


def _with_code(job: JobSpec, source: JobSource) -> JobSpec:
    """The job with the hash of the code of its network, where that is the user's."""
    if not isinstance(job.model, CustomNetSpec):
        return job
    with source.blamed("model.entry"):
        code = find_code(job.model.entry)
    model = job.model.model_copy(update={"source_sha256": code.sha256})
    return job.model_copy(update={"model": model})


def load_resolved(job: Mapping[str, object]) -> JobSpec:
    """The job that was stored as `spec.model_dump(mode="json")`.

    Raises:
        IntegrityError: it is not such a job, or one of another version of this tool.
    """
    own = {key: job[key] for key in _OWN_KEYS if key in job}
    return _loaded(own, json.dumps({key: job[key] for key in job if key not in own}))


class SplitJob(NamedTuple):
    """A stored job; of thousands of runs the rest is the same text."""

    name: str
    seed: int
    rest: str
    """JSON of the other keys."""


def split_resolved(text: str) -> SplitJob:
    """A stored job from its JSON.

    Raises:
        IntegrityError: it is not such a job, where that is seen without parsing all of it.
    """
    if own := _OWN.match(text):  # as this tool writes it: parsing takes many times as long
        return SplitJob(own[1], int(own[2]), "{" + text[own.end() :])
    values = json.loads(text)
    job = load_resolved(values)
    rest = {key: value for key, value in values.items() if key not in _OWN_KEYS}
    return SplitJob(job.name, job.seed, json.dumps(rest))


def load_split(job: SplitJob) -> JobSpec:
    """The job.

    Raises:
        IntegrityError: see `load_resolved`.
    """
    return _loaded({"name": job.name, "seed": job.seed}, job.rest)


_OWN_KEYS = ("name", "seed")
_OWN = re.compile(r'\{"name": "([^"\\]*)", "seed": (\d+), ')


class _Own(Spec):
    """What a run has to itself."""

    name: Name
    seed: Seed


def _loaded(own: Mapping[str, object], rest: str) -> JobSpec:
    try:
        update = dict(_Own.model_validate(own))
        return _load_shared(rest).model_copy(update=update)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"]))
        raise IntegrityError(
            f"the stored job is not one that this version can read: {key}: {fault['msg']}",
            mend="use the version of resnet-cluster that stored it",
        ) from None


@functools.lru_cache(maxsize=256)
def _load_shared(rest: str) -> JobSpec:
    """A job of any name and seed, from the JSON of its other keys."""
    return JobSpec.model_validate({"name": "any", "seed": 0} | json.loads(rest))


def flag_overrides(
    *, name: str | None, seed: int | None, workers: int | None, data: str | None
) -> list[Override]:
    """What the options of those names change; None changes nothing."""
    flags: list[tuple[str, KeyPath, str | int | None]] = [
        ("--name", ("name",), name),
        ("--seed", ("seed",), seed),
        ("--workers", ("resources", "workers"), workers),
        ("--data", ("data", "name"), data),
    ]
    return [flag_override(flag, path, value) for flag, path, value in flags if value is not None]
