"""One clear error out of what pydantic says: where, what was given, what may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from resnet_cluster.errors import JobError
from resnet_cluster.spec import vocabulary
from resnet_cluster.spec.base import SpecError
from resnet_cluster.spec.job import JobSpec
from resnet_cluster.spec.source import JobSource, KeyPath, Value, dotted_key, key_path, printable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def validated(values: dict[str, Value], source: JobSource) -> JobSpec:
    """The job that the values say.

    Raises:
        JobError: the first thing that is wrong with them; a mistyped key before all else, since it
            is often why another key is missing.
    """
    try:
        return JobSpec.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
        raise _complaint(first, source) from None


def _complaint(fault: ErrorDetails, source: JobSource) -> JobError:
    match fault["type"]:
        case "extra_forbidden":
            return _unknown_key(fault, source)
        case "missing":
            return _missing_key(fault, source)
        case "union_tag_invalid" | "union_tag_not_found":
            return _unknown_kind(fault, source)
        case "value_error":
            return _unfit_value(fault, source)
        case _:
            return _wrong_value(fault, source)


def _unknown_key(fault: ErrorDetails, source: JobSource) -> JobError:
    *around, key = fault["loc"]
    section, node = vocabulary.locate(around)
    if near := vocabulary.nearest_key(section, node, str(key)):
        mend = f"did you mean {near}?"
    else:
        mend = f"{_section_name(section)} has {', '.join(vocabulary.known_keys(node))}"
    kind = next((name for name in ("kind", "family") if name in vocabulary.known_keys(node)), None)
    if kind and source.where((*section, kind)).startswith("--set"):
        mend += f"; to replace all of it: --set '{dotted_key(section)}={{{kind}: ...}}'"
    path = (*section, str(key))
    return JobError(f"unknown key {dotted_key(path)}", where=source.where(path), mend=mend)


def _missing_key(fault: ErrorDetails, source: JobSource) -> JobError:
    path, node = vocabulary.locate(fault["loc"])
    name, what = dotted_key(path), "section" if vocabulary.is_section(node) else "key"
    mend = f"add {name}: {vocabulary.allowed(node)}"
    return JobError(f"the {what} {name} is missing", where=source.where(path), mend=mend)


def _unknown_kind(fault: ErrorDetails, source: JobSource) -> JobError:
    section, node = vocabulary.locate(fault["loc"])
    key = vocabulary.kind_key(node)
    path = (*section, key)
    kinds = vocabulary.one_of(vocabulary.kinds(node))
    given = fault["input"].get(key) if isinstance(fault["input"], dict) else None
    message = f"{dotted_key(path)} is {_shown(given)}, and must be {kinds}"
    if fault["type"] == "union_tag_not_found":
        message = f"the key {dotted_key(path)} is missing; it is {kinds}"
    return JobError(message, where=source.where(path), mend=_mend(section, node))


def _unfit_value(fault: ErrorDetails, source: JobSource) -> JobError:
    error = fault["ctx"]["error"]
    assert isinstance(error, SpecError), error
    path, _ = vocabulary.locate(fault["loc"])
    return JobError(str(error), where=source.where(path + key_path(error.key)), mend=error.mend)


def _wrong_value(fault: ErrorDetails, source: JobSource) -> JobError:
    path, node = vocabulary.locate(fault["loc"])
    given, must = _shown(fault["input"]), vocabulary.allowed(node)
    message = f"{dotted_key(path)} is {given}, and must be {must}"
    return JobError(message, where=source.where(path), mend=_mend(path, node))


def _mend(path: KeyPath, node: vocabulary.Node) -> str:
    return f"{dotted_key(path)}: {vocabulary.meaning(node)}"


def _section_name(section: KeyPath) -> str:
    return dotted_key(section) or "a job"


def _shown(value: object) -> str:
    """A value as it would be written in a job file."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return printable(repr(value))
