"""Another length for a job: what its other lengths become, and what it says of itself then."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import NamedTuple, TypeGuard

from resnet_cluster.spec.base import number_text
from resnet_cluster.spec.lengths import as_written
from resnet_cluster.spec.reader import Document
from resnet_cluster.spec.source import JobSource, KeyPath, Value

_UNITS = ("epochs", "iterations")
_SCALED: tuple[tuple[str, ...], ...] = (
    ("train", "schedule", "milestones"),
    ("train", "warmup", "length"),
    ("data", "crop", "grow", "begin"),
    ("data", "crop", "grow", "end"),
)
"""Lengths that keep their share of the whole."""


class _Length(NamedTuple):
    number: float
    unit: str


def settle_length(file: Document, job: Document) -> Document:
    """The job with one length, and the file's other lengths in proportion to it.

    An overridden `epochs` takes the place of the file's `iterations`, and the other way round.
    Where the length is then another than the file's, its milestones, its linear warm-up and the
    growth of its crops keep their share of it, and `train.shortened_from` says what the file's own
    length was; those that were overridden as well are left as they are.

    Args:
        file: the job file.
        job: the same with its overrides.
    """
    values = copy.deepcopy(job.values)
    written, train = file.values.get("train"), values.get("train")
    if not isinstance(written, dict) or not isinstance(train, dict):
        return job
    own = _length_of(written)
    if own is None:
        return job
    _drop_replaced(own, train, file.source, job.source)
    length = _length_of(train)
    if length is None or length == own:
        return Document(values, job.source)
    train["shortened_from"] = f"{number_text(own.number)} {own.unit}"
    for *sections, key in _SCALED:
        if _is_the_files((*sections, key), file.source, job.source):
            _scale(_section(values, sections), key, own.number, length.number)
    return Document(values, job.source)


def _drop_replaced(own: _Length, train: dict[str, Value], file: JobSource, job: JobSource) -> None:
    (other,) = set(_UNITS) - {own.unit}
    is_replaced = train.get(other) is not None and _is_the_files(("train", own.unit), file, job)
    if is_replaced:
        train[own.unit] = None


def _is_the_files(path: KeyPath, file: JobSource, job: JobSource) -> bool:
    """Whether the file gives a value and no override replaced it."""
    return path in file.places and job.places.get(path) == file.places[path]


def _length_of(train: dict[str, Value]) -> _Length | None:
    """The length of a recipe; None where it has not one that can be meant."""
    given = [unit for unit in _UNITS if train.get(unit) is not None]
    if len(given) != 1 or not _is_length(number := train[given[0]]):
        return None
    return _Length(number, given[0])


def _is_length(number: Value) -> TypeGuard[float]:
    if not isinstance(number, int | float) or isinstance(number, bool):
        return False
    return 1e-9 <= number <= 1e9


def _section(values: Value, sections: Iterable[str]) -> Value:
    for name in sections:
        assert isinstance(values, dict)
        values = values[name]
    return values


def _scale(section: Value, key: str, own: float, length: float) -> None:
    """Give the lengths under `key` the share of `length` that they have of `own`."""

    def scaled(value: Value) -> Value:
        if not _is_length(value):
            return value  # not a number that can be meant; the validation says so
        return float(as_written(value) * as_written(length) / as_written(own))

    assert isinstance(section, dict)
    value = section[key]
    section[key] = [scaled(item) for item in value] if isinstance(value, list) else scaled(value)
