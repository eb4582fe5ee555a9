"""Prints docs/job.md: every key of a job file, from the specs themselves.

python docs/job_reference.py > docs/job.md
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from resnet_cluster.spec import JobSpec, Spec
from resnet_cluster.spec.vocabulary import NOT_BY_HAND

SET_BY_THE_TOOL = {path[-1] for path in NOT_BY_HAND}

INTRODUCTION = """# Job files

Written by `python docs/job_reference.py`, from the specs. A job file is strict YAML 1.2: an unknown
key, a key given twice, an anchor or a tag is an error that names its line. Exactly one of
`train.epochs` and `train.iterations` is given; a key without a default must be given."""


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([INTRODUCTION, *_section("", JobSpec)]) + "\n"


def _section(path: str, spec: type[Spec]) -> Iterator[str]:
    fields = spec.model_fields.items()
    nested = {name: _specs(field.annotation) for name, field in fields}
    yield f"\n## {path or 'The job'}\n"
    yield (spec.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    rows = [(name, field) for name, field in fields if name not in SET_BY_THE_TOOL]
    yield "\n| key | value | default | |\n|---|---|---|---|"
    for name, field in rows:
        description = (field.description or "").replace("\n", " ").replace("|", "\\|")
        yield f"| `{name}` | {_values(field.annotation)} | {_default(field)} | {description} |"
    for name, specs in nested.items():
        for each in specs:
            suffix = f" ({_kind(each)})" if len(specs) > 1 else ""
            yield from _section(f"{path}.{name}".lstrip(".") + suffix, each)


def _specs(annotation: Any) -> list[type[Spec]]:
    """The specs within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [spec for argument in get_args(annotation) for spec in _specs(argument)]


def _values(annotation: Any) -> str:
    """What a value may be, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if specs := _specs(annotation):
        kinds = " or ".join(f"`{kind}`" for spec in specs for kind in _kind(spec).split(" or "))
        return "see below" if len(specs) == 1 else f"of kind {kinds}"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        return _values(arguments[0])
    if origin is tuple and get_origin(arguments[0]) is tuple:
        return "names and values"
    if origin is tuple:
        return f"list of: {_values(arguments[0])}"
    if origin in (Union, types.UnionType):
        return " or ".join(_values(each) for each in arguments if each is not type(None))
    names = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}
    return names[annotation]


def _kind(spec: type[Spec]) -> str:
    kind = spec.model_fields.get("kind") or spec.model_fields.get("family")
    return " or ".join(get_args(kind.annotation)) if kind else spec.__name__


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return ""
    if field.default is None:
        return "none"
    if isinstance(field.default, Spec):
        return "as below"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, tuple):
        return f"`[{', '.join(map(str, field.default))}]`" if field.default else "none"
    return f"`{field.default}`"


if __name__ == "__main__":
    print(reference(), end="")
