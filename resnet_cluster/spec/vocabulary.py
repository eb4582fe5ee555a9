"""What a job may say: its keys and their values in words, derived from the specs themselves."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator
from typing import Any

from resnet_cluster.spec.base import number_text
from resnet_cluster.spec.job import JobSpec
from resnet_cluster.spec.source import KeyPath, dotted_key

Node = dict[str, Any]
"""A node of the JSON schema of JobSpec, references followed."""

NOT_BY_HAND: tuple[KeyPath, ...] = (("train", "shortened_from"), ("model", "source_sha256"))
"""Keys that a resolved job has and a job file must not."""


def locate(location: Iterable[str | int]) -> tuple[KeyPath, Node]:
    """The keys and the node of one of pydantic's locations.

    A location holds, besides keys, the chosen kind wherever there are several; a user's path does
    not. An unknown key has an empty node.
    """
    path: KeyPath = ()
    node = _resolved(_schema())
    for part in location:
        if "discriminator" in node:
            node = _follow(node["discriminator"]["mapping"][part])
            continue
        path = (*path, part)
        if isinstance(part, int):  # an item means what its list means
            node = {**_described(node), **_resolved(node["items"])}
        else:
            node = _resolved(_properties(node).get(part, {}))
    return path, node


def known_keys(node: Node) -> list[str]:
    """The keys that a section may have, in the order of the specs."""
    hidden = {path[-1] for path in NOT_BY_HAND}
    return [key for key in _properties(node) if key not in hidden]


def kinds(node: Node) -> list[str]:
    """The kinds of a section that is of one of several kinds, in the order of the specs."""
    key = kind_key(node)
    said = [_resolved(member)["properties"][key] for member in node["oneOf"]]
    return [kind for each in said for kind in each.get("enum", [each.get("const")])]


def kind_key(node: Node) -> str:
    """The key of such a section that says which: `kind`, or the `family` of a network."""
    return str(node["discriminator"]["propertyName"])


def is_section(node: Node) -> bool:
    """Whether the node holds keys, rather than a value."""
    return "properties" in node or "discriminator" in node


def meaning(node: Node) -> str:
    """What a key is, by the sentence that stands under it in the specs, on one line."""
    return " ".join(str(node.get("description", "")).split())


def allowed(node: Node) -> str:
    """What a value may be, in words."""
    words = _allowed(node)
    return f"{words}, or null" if node.get("nullable") else words


def nearest_key(section: KeyPath, node: Node, key: str) -> str | None:
    """The dotted key that was probably meant by an unknown one, if there is a likely one."""
    if near := difflib.get_close_matches(key, known_keys(node), n=1):
        return dotted_key((*section, near[0]))
    elsewhere = [path for path in _all_keys() if path[-1] == key and path not in NOT_BY_HAND]
    return dotted_key(elsewhere[0]) if elsewhere else None


def _allowed(node: Node) -> str:
    if "discriminator" in node:
        return f"a section whose {kind_key(node)} is {one_of(kinds(node))}"
    if "properties" in node:
        return f"a section with {', '.join(node.get('required', known_keys(node)))}"
    if "enum" in node or "const" in node:
        return one_of(node.get("enum", [node.get("const")]))
    if "pattern" in node:
        return f"text that matches {node['pattern']}"
    match node["type"]:
        case "array":
            item = _allowed(_resolved(node["items"]))
            if "maxItems" in node:
                return f"a list of {node['maxItems']}, each {item}"
            return f"a list, each item of it {item}"
        case "boolean":
            return "true or false"
        case "object":
            return "a section of names and values"
        case "integer":
            return f"a whole number{_bounds(node)}"
        case "number":
            return f"a number{_bounds(node)}"
        case _:
            return f"text of 1 to {node['maxLength']} characters"


def _bounds(node: Node) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    bounds = [f"{word} {number_text(node[key])}" for key, word in words.items() if key in node]
    return f" {' and '.join(bounds)}"


def one_of(words: Iterable[object]) -> str:
    """`one of a, b, c`, or the only one there is."""
    *head, last = map(str, words)
    return f"one of {', '.join(head)}, {last}" if head else last


def _all_keys() -> Iterator[KeyPath]:
    """Every key of a job; of a section of several kinds those of the first. Sections come first."""

    def below(path: KeyPath, node: Node) -> Iterator[KeyPath]:
        if "discriminator" in node:
            node = _resolved(node["oneOf"][0])
        for key, child in _properties(node).items():
            yield (*path, key)
            yield from below((*path, key), _resolved(child))

    return below((), _resolved(_schema()))


@functools.cache
def _schema() -> Node:
    return JobSpec.model_json_schema()


def _properties(node: Node) -> Node:
    properties: Node = node.get("properties", {})
    return properties


def _follow(reference: str) -> Node:
    node: Node = _schema()["$defs"][reference.removeprefix("#/$defs/")]
    return node


def _resolved(node: Node) -> Node:
    """The node with its reference followed and its null taken apart."""
    if "anyOf" in node:
        chosen, null = node["anyOf"]
        assert null == {"type": "null"}
        return {**_resolved(chosen), **_described(node), "nullable": True}
    if "$ref" in node:
        return {**_follow(node["$ref"]), **_described(node)}
    return node


def _described(node: Node) -> Node:
    return {"description": node["description"]} if "description" in node else {}
