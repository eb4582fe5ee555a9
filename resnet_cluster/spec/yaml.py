"""Strict YAML: text in, plain values and the place of each out.

A job is small and flat, so what YAML has beyond that is refused rather than understood: anchors and
aliases, tags, directives, merge keys, several documents, a key given twice. The parser's events are
read one by one and the caps hold while they come, before anything is built of them.

Importing this module imports the parser; the rest of the room does so only to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from resnet_cluster.errors import JobError
from resnet_cluster.spec.scalars import Scalar, resolve_plain
from resnet_cluster.spec.source import KeyPath, Value, dotted_key, printable

Place = Callable[[int], str]
"""The name of a line, counted from 1."""

MAX_BYTES = 64 * 1024
"""Size of a job file. The largest that ships has one; reading the cap takes half a second."""
MAX_DEPTH = 32
"""Sections within sections; a job has four."""

_UNWANTED = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_DIRECTIVE = re.compile("^%", re.MULTILINE)


_IN_A_FILE = "check the indentation, the colons and the quotes there and on the line before"


def parse(text: str, place: Place, *, mend: str = _IN_A_FILE) -> tuple[Value, dict[KeyPath, str]]:
    """The value that `text` holds, and the place of every key and item in it.

    Args:
        place: names a line, for errors and for the places.
        mend: how to put right what is not YAML at all.

    Raises:
        JobError: the text is not YAML, or uses more of it than a job needs.
    """
    if len(text) > MAX_BYTES:
        raise JobError(f"more than {MAX_BYTES // 1024} KiB", where=place(1), mend="shorten it")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _check_characters(text, place)
    composer = _Composer(text, place, mend)
    return composer.document(), composer.places


def _check_characters(text: str, place: Place) -> None:
    """Refuse what an editor does not show, or what would move its line numbers against ours."""
    if match := _UNWANTED.search(text):
        raise JobError(
            f"the character U+{ord(match[0]):04X} is not allowed",
            where=place(_line_at(text, match.start())),
            mend="remove it; a job is plain UTF-8 text with ordinary line ends",
        )
    if match := _DIRECTIVE.search(text):
        raise JobError(
            "a directive of YAML (%) is not allowed",
            where=place(_line_at(text, match.start())),
            mend="remove the line; a job is YAML 1.2",
        )


def _line_at(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


class _Composer:
    """Builds a value from the parser's events; knows only what has come so far."""

    def __init__(self, text: str, place: Place, mend: str) -> None:
        self.places: dict[KeyPath, str] = {}
        self._place, self._mend = place, mend
        self._line = 1
        self._events = self._parsed(text)

    def document(self) -> Value:
        """The one document."""
        assert isinstance(next(self._events), StreamStartEvent)
        if isinstance(event := next(self._events), StreamEndEvent):
            self._refuse(event, "is empty", mend="write a job, or start from `resnet-cluster init`")
        assert isinstance(event, DocumentStartEvent)
        value = self._value(next(self._events), ())
        assert isinstance(next(self._events), DocumentEndEvent)
        if not isinstance(event := next(self._events), StreamEndEvent):
            self._refuse(event, "a second document", mend="keep one; a job has no `---` inside")
        return value

    def _parsed(self, text: str) -> Iterator[Event]:
        try:
            for event in YAML(typ="safe", pure=True).parse(text):
                self._line = event.end_mark.line + 1
                yield event
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._line = mark.line + 1 if mark else self._line
            self._malformed(error.problem or str(error))
        except (ValueError, OverflowError) as error:  # an escape beyond Unicode, say
            self._malformed(str(error))

    def _malformed(self, problem: str) -> NoReturn:
        raise JobError(
            f"is not YAML: {printable(problem)}",
            where=self._place(self._line),
            mend=self._mend,
        ) from None

    def _value(self, event: Event, path: KeyPath) -> Value:
        self._check(event, path)
        self.places.setdefault(path, self._place(event.start_mark.line + 1))
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, MappingStartEvent)
        return self._mapping(path)

    def _check(self, event: Event, path: KeyPath) -> None:
        if isinstance(event, AliasEvent):
            self._refuse(event, "an alias is not allowed", mend="write the value out")
        assert isinstance(event, (ScalarEvent, CollectionStartEvent))
        if event.anchor is not None:
            self._refuse(event, "an anchor is not allowed", mend="remove it")
        if event.tag is not None:
            self._refuse(event, f"the tag {printable(event.tag)} is not allowed", mend="remove it")
        if len(path) > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} deep", mend="remove the nesting")

    def _scalar(self, event: ScalarEvent) -> Scalar:
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse(event, "half a surrogate pair", mend="write the character itself")
        is_plain = event.implicit[0] and event.style is None
        try:
            return resolve_plain(text) if is_plain else text
        except ValueError as error:
            self._refuse(event, str(error), mend="write a shorter one")

    def _sequence(self, path: KeyPath) -> list[Value]:
        items: list[Value] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Value]:
        mapping: dict[str, Value] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event, path)
            if key in mapping:
                first = self.places[*path, key]
                name = dotted_key((*path, key))
                self._refuse(event, f"{name} is given twice, first at {first}", mend="keep one")
            self.places[*path, key] = self._place(event.start_mark.line + 1)
            mapping[key] = self._value(next(self._events), (*path, key))
        return mapping

    def _key(self, event: Event, path: KeyPath) -> str:
        self._check(event, path)
        if not isinstance(event, ScalarEvent):
            self._refuse(event, "a key is not a word", mend="write `key: value`")
        self._scalar(event)
        key: str = event.value
        return key

    def _refuse(self, event: Event, message: str, *, mend: str) -> NoReturn:
        raise JobError(message, where=self._place(event.start_mark.line + 1), mend=mend)
