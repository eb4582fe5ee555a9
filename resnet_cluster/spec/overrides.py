"""What a command line changes in a job: `--set train.lr=0.2`, `--workers 3` and their like."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resnet_cluster.errors import JobError, UsageError
from resnet_cluster.spec.reader import Document
from resnet_cluster.spec.source import (
    JobSource,
    KeyPath,
    Value,
    dotted_key,
    printable,
)

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_MAX_KEY_LENGTH = 200
_EXAMPLE = "write --set KEY=VALUE, for example --set train.lr=0.2"


@dataclass(frozen=True)
class Override:
    """One value that takes the place of a file's; a section is replaced as a whole."""

    path: KeyPath
    value: Value
    places: Mapping[KeyPath, str]
    """The place of the value, and of each that it holds; paths from the top of the job."""


def parse_override(text: str) -> Override:
    """The override that the text after `--set` says; its value is YAML, as in a job file.

    Raises:
        UsageError: it is not KEY=VALUE.
        JobError: the value is not such YAML.
    """
    from resnet_cluster.spec.yaml import parse  # imports the parser

    key, equals, value_text = text.partition("=")
    label = f"--set {printable(text)}"
    if not equals or not _is_key(key):
        raise UsageError(f"{label}: is not a key and a value", mend=_EXAMPLE)
    if not value_text.strip():
        mend = "write null for none, and '' for empty text"
        raise JobError("has no value", where=label, mend=mend)
    quoted = printable(value_text.replace("'", ""))
    mend = f"for that very text quote it: --set '{key}=\"{quoted}\"'"
    value, places = parse(value_text, lambda _: label, mend=mend)
    path: KeyPath = tuple(key.split("."))
    return Override(path, value, {path + below: place for below, place in places.items()})


def parse_key(text: str) -> str:
    """The text, where it is the dotted key of a job.

    Raises:
        UsageError: it is not.
    """
    if not _is_key(text):
        raise UsageError(f"{printable(text)!r} is no key of a job", mend="such as train.lr")
    return text


def _is_key(text: str) -> bool:
    return len(text) <= _MAX_KEY_LENGTH and bool(_KEY.fullmatch(text))


def flag_override(flag: str, path: KeyPath, value: str | int) -> Override:
    """The override that an option of its own says, such as `--workers 3`."""
    return Override(path, value, {path: f"{flag} {printable(str(value))}"})


def overridden(document: Document, overrides: Iterable[Override]) -> Document:
    """The document with the overrides in place, a later one over an earlier one.

    Raises:
        JobError: a key lies below something that is not a section.
    """
    values: dict[str, Value] = copy.deepcopy(document.values)
    places = dict(document.source.places)
    for override in overrides:
        _put(values, override)
        depth = len(override.path)
        places = {path: at for path, at in places.items() if path[:depth] != override.path}
        places.update(override.places)
        for length in range(1, depth):  # the sections that the override had to open
            places.setdefault(override.path[:length], override.places[override.path])
    return Document(values, JobSource(places))


def _put(values: dict[str, Value], override: Override) -> None:
    *around, last = override.path
    section: Value = values
    for depth, key in enumerate(around, start=1):
        assert isinstance(section, dict)
        if section.get(str(key)) is None:
            section[str(key)] = {}
        section = section[str(key)]
        if not isinstance(section, dict):
            raise JobError(
                f"{dotted_key(override.path[:depth])} is not a section, and has no key in it",
                where=override.places[override.path],
                mend=f"replace it as a whole: --set {dotted_key(override.path[:depth])}=VALUE",
            )
    assert isinstance(section, dict)
    section[str(last)] = override.value
