"""From an ablation file, or a job file, and a command line to an ablation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from resnet_cluster.errors import JobError, UsageError
from resnet_cluster.spec.ablation import MAX_SEEDS, Ablation, Axis, build_ablation
from resnet_cluster.spec.load import flag_overrides
from resnet_cluster.spec.overrides import Override, parse_key, parse_override
from resnet_cluster.spec.reader import Document, load_yaml
from resnet_cluster.spec.source import KeyPath, Value, key_path, printable

Scalar = TypeVar("Scalar", str, int)

KEYS = ("name", "job", "set", "vary", "combine", "seeds")
_DEPTH, _SHORTCUT = ("model", "depth"), ("model", "shortcut")


@dataclass(frozen=True, kw_only=True)
class AblationRequest:
    """What a command line says of an ablation; None where it leaves it to the file.

    Attributes:
        depths: value of `--depths`, such as `18,34`.
        shortcuts: value of `--shortcuts`.
        vary: texts after `--vary`, such as `train.lr=0.05,0.1`.
        is_zipped: whether `--zip` was given.
        num_seeds: value of `--seeds`.
        overrides: texts after `--set`.
        name: value of `--name`: the ablation's.
        seed: value of `--seed`: the first one.
        workers: value of `--workers`.
        data: value of `--data`.
    """

    depths: str | None = None
    shortcuts: str | None = None
    vary: Sequence[str] = ()
    is_zipped: bool = False
    num_seeds: int | None = None
    overrides: Sequence[str] = ()
    name: str | None = None
    seed: int | None = None
    workers: int | None = None
    data: str | None = None


def load_ablation(path: Path, request: AblationRequest) -> Ablation:
    """Read an ablation file, or a job file whose keys the command line varies.

    Args:
        path: the file.
        request: what the command line says; its axes take the place of the file's own of the same
            keys, and come after the others.

    Raises:
        UsageError: an option is not what it should be, or the axes do not fit together.
        JobError: a file cannot be read, or says what cannot be meant.
    """
    document = load_yaml(path)
    found = _read(document, path) if is_ablation(document) else _of_job(document, path)
    flags = flag_overrides(name=None, seed=request.seed, workers=request.workers, data=request.data)
    changes = (*found.changes, *map(parse_override, request.overrides), *flags)
    asked = tuple(_asked(request))
    for place, axis in enumerate(asked):
        if axis.path in [each.path for each in asked[:place]]:
            raise UsageError(f"{axis.key} is said twice", mend="give all of its values at once")
    axes = {axis.path: axis for axis in (*found.axes, *asked)}
    return build_ablation(
        request.name or found.name,
        found.file,
        changes=changes,
        axes=axes,
        is_zipped=found.is_zipped or request.is_zipped,
        num_seeds=request.num_seeds or found.num_seeds,
    )


def is_ablation(document: Document) -> bool:
    """Whether a file is an ablation's, and not a job's."""
    return bool({"vary", "job"} & document.values.keys())


@dataclass(frozen=True, kw_only=True)
class _File:
    """What a file says of an ablation."""

    name: str
    file: Document
    changes: tuple[Override, ...] = ()
    axes: tuple[Axis, ...] = ()
    is_zipped: bool = False
    num_seeds: int = 1


def _of_job(document: Document, path: Path) -> _File:
    name = document.values.get("name")
    return _File(name=f"{name if isinstance(name, str) else path.stem}_sweep", file=document)


def _read(document: Document, path: Path) -> _File:
    values, source = document.values, document.source
    for key in values:
        if key not in KEYS:
            message = f"unknown key {printable(key)}"
            raise source.error(key, message, mend=f"an ablation has {', '.join(KEYS)}")
    job = _one_of(document, "job", str, "the path of a job file, from this file's folder")
    seeds = _one_of(document, "seeds", int, f"a whole number from 1 to {MAX_SEEDS}", 1)
    if not 1 <= seeds <= MAX_SEEDS:
        raise source.error("seeds", f"seeds is {seeds}", mend=f"from 1 to {MAX_SEEDS}")
    combine = _one_of(document, "combine", str, "grid or zip", "grid")
    if combine not in ("grid", "zip"):
        message = f"combine is {printable(combine)!r}, and must be one of grid, zip"
        raise source.error("combine", message, mend="grid combines all, zip walks them together")
    file = _job_file(document, Path(os.path.normpath(path.parent / job)))
    return _File(
        name=_one_of(document, "name", str, "a name, of a-z, 0-9, _ and -", path.stem),
        file=file,
        changes=tuple(
            _override(document, ("set", key), value)
            for key, value in _section(document, "set").items()
        ),
        axes=tuple(
            _axis(document, key, value) for key, value in _section(document, "vary").items()
        ),
        is_zipped=combine == "zip",
        num_seeds=seeds,
    )


def _job_file(document: Document, path: Path) -> Document:
    """The job file that an ablation names, whose faults are told with the ablation's line."""
    where = document.source.where(("job",))
    try:
        file = load_yaml(path)
    except JobError as error:
        raise JobError(error.message, where=where, mend=error.mend) from error
    if is_ablation(file):
        mend = "name a job file, which has no `vary:`"
        name = printable(str(path), limit=400)
        raise JobError(f"{name} is an ablation, and no job", where=where, mend=mend)
    return file


def _one_of(
    document: Document, key: str, kind: type[Scalar], what: str, default: Scalar | None = None
) -> Scalar:
    value = document.values.get(key, default)
    if type(value) is not kind:
        message = f"{key} is missing" if value is None else f"{key} is not {what}"
        raise document.source.error(key, message, mend=f"{key}: {what}")
    return value


def _section(document: Document, key: str) -> dict[str, Value]:
    value = document.values.get(key, {})
    if not isinstance(value, dict):
        mend = f"{key}: keys of a job in dots, each with its value"
        raise document.source.error(key, f"{key} is not a section", mend=mend)
    return value


def _axis(document: Document, key: str, values: Value) -> Axis:
    where = document.source.where(("vary", key))
    if not isinstance(values, list):
        raise JobError(
            f"vary.{printable(key)} is not a list", where=where, mend="write [18, 34, 50]"
        )
    path = _path(key, where)
    return Axis(
        path=path,
        values=tuple(
            _override(document, ("vary", key, number), value) for number, value in enumerate(values)
        ),
    )


def _override(document: Document, place: KeyPath, value: Value) -> Override:
    """A value of the file that takes the place of the job's."""
    path = _path(str(place[1]), document.source.where(place))
    below = {
        path + inner[len(place) :]: at
        for inner, at in document.source.places.items()
        if inner[: len(place)] == place
    }
    return Override(path, value, {path: document.source.where(place)} | below)


def _path(key: str, where: str) -> KeyPath:
    try:
        return key_path(parse_key(key))
    except UsageError as error:
        raise JobError(error.message, where=where, mend=error.mend) from error


def _asked(request: AblationRequest) -> Iterator[Axis]:
    if request.depths is not None:
        yield _listed("--depths", _DEPTH, request.depths)
    if request.shortcuts is not None:
        yield _listed("--shortcuts", _SHORTCUT, request.shortcuts)
    for text in request.vary:
        key, equals, values = text.partition("=")
        if not equals:
            raise UsageError(
                f"--vary {printable(text)}: is not a key and values",
                mend="write --vary KEY=VALUE,VALUE, for example --vary train.lr=0.05,0.1",
            )
        yield _listed(f"--vary {key}", key_path(parse_key(key)), values)


def _listed(option: str, path: KeyPath, text: str) -> Axis:
    """The axis that an option says: YAML values with commas between."""
    from resnet_cluster.spec.yaml import parse  # imports the parser

    label = f"{printable(option)} {printable(text)}"
    if not text.strip():
        raise UsageError(f"{label.strip()}: an empty list", mend="give values with commas between")
    values, places = parse(f"[{text}]", lambda _: label, mend="give values with commas between")
    assert isinstance(values, list)
    overrides = (
        Override(path, value, {path: label} | _below(path, number, places))
        for number, value in enumerate(values)
    )
    return Axis(path=path, values=tuple(overrides))


def _below(path: KeyPath, number: int, places: dict[KeyPath, str]) -> dict[KeyPath, str]:
    return {path + inner[1:]: at for inner, at in places.items() if inner[:1] == (number,)}
