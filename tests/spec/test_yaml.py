"""Strict YAML: what is understood, what is refused, and the line that each thing is said on."""

from __future__ import annotations

import json
import math
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_cluster.errors import JobError
from resnet_cluster.spec.yaml import MAX_BYTES, MAX_DEPTH, parse


def parsed(text: str) -> object:
    return parse(text, lambda line: f"job:{line}")[0]


def refusal(text: str) -> JobError:
    with pytest.raises(JobError) as caught:
        parsed(text)
    assert caught.value.exit_code == 2
    assert caught.value.mend
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [  # YAML 1.2.2, section 10.3.2, and what YAML 1.1 would have made of it
        ("1e-3", 0.001),
        ("+1.5E2", 150.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("tRue", "tRue"),
        ("True", True),
        ("FALSE", False),
        ("Null", None),
        ("~", None),
        ("-.inf", -math.inf),
        ("e5", "e5"),
        (".", "."),
        ("'1'", "1"),
        ('"off"', "off"),
        ("''", ""),
        ("v1.5", "v1.5"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    got = parsed(f"a: {text}")
    assert isinstance(got, dict)
    assert got["a"] == value
    assert type(got["a"]) is type(value)


def test_not_a_number_is_a_number() -> None:
    got = parsed("a: .NaN")
    assert isinstance(got, dict)
    assert isinstance(got["a"], float)
    assert math.isnan(got["a"])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "is empty"),
        ("# only\n# comments", 2, "is empty"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: 1\nb: 2\na: 3", 3, "a is given twice, first at job:1"),
        ("a:\n  b: 1\n  'b': 2", 3, "a.b is given twice, first at job:2"),
        ("a: {x: 1,\n x: 2}", 2, "a.x is given twice, first at job:1"),
        ("a: &x 1", 1, "anchor"),
        ("a:\n  b: *x", 2, "alias"),
        ("&x a: 1", 1, "anchor"),
        ("a: !!int 1", 1, "tag"),
        ("a: !!python/object:os.system 1", 1, "tag"),
        ("a: ! 1", 1, "tag"),
        ("a:\n - !x [1]", 2, "tag"),
        ("%YAML 1.1\n---\na: off", 1, "directive"),
        ("%TAG ! x:\n---\na: 1", 1, "directive"),
        ("a: 1\n%FOO", 2, "directive"),
        ("? [a]\n: 1", 1, "not a word"),
        ("{a: 1}: 2", 1, "not a word"),
        ("a: b: c", 1, "not YAML"),
        ("a:\n\t- b", 2, "not YAML"),
        ("a: [1,\n  2", 2, "not YAML"),
        ("a: 'x\n", 2, "not YAML"),
        ("a: 1\nb: @x", 2, "not YAML"),
        ('a: 1\nb: "\\UFFFFFFFF"', 2, "not YAML"),
        ('a: 1\nb: "\\U00110000"', 2, "not YAML"),
        ('a: 1\nb: "\\ud800"', 2, "half a surrogate pair"),
        ("a: 1\nb: \x1b[31m", 2, "U+001B"),
        ("a: 1\nb: \x7f", 2, "U+007F"),
        ("a: 1 # x\u2028b: 2", 1, "U+2028"),
        ("a: 1\n# \u2029", 2, "U+2029"),
        ("a: 1\n\nb: x\x85y", 3, "U+0085"),
        ("a: 1\n\ufeffb: 2", 2, "U+FEFF"),
        ("a: 1\r\nb: 2\r\nb: 3", 3, "b is given twice, first at job:2"),
        ("a: 1\rb: 2\rb: 3", 3, "b is given twice, first at job:2"),
    ],
)
def test_refuses_with_the_line(text: str, line: int, message: str) -> None:
    error = refusal(text)
    assert error.message.startswith(f"job:{line}: ")
    assert message in error.message


BOMBS = {
    "brackets": "[" * 100_000,
    "brackets within the cap": "[" * (MAX_BYTES - 1),
    "braces": "a: " + "{" * (MAX_BYTES - 10),
    "dashes": "- " * (MAX_BYTES // 2),
    "questions": "? " * (MAX_BYTES // 2),
    "laughs": "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a]\n" for i in range(50)),
    "digits": "a: " + "9" * 60_000,
    "float digits": "a: 1." + "9" * 60_000,
    "hexadecimal digits": "a: 0x" + "f" * 60_000,
    "exponent": "a: 1e" + "9" * 60_000,
    "anchors": "&a " * 20_000,
    "tag": "!" * 60_000,
    "key": "k" * 60_000 + ": 1",
    "escapes in a key": '"' + "\\x1b" * 10_000 + '": 1\n"' + "\\x1b" * 10_000 + '": 2',
    "open quote": "'" + "a" * 60_000,
    "ten megabytes": "a" * 10_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    start = time.process_time()
    error = refusal(BOMBS[name])
    assert time.process_time() - start < 3
    assert len(error.message) < 400
    assert error.message.isprintable()


@pytest.mark.parametrize("length", [100, 101])
def test_numbers_are_capped(length: int) -> None:
    text = f"a: {'7' * length}"
    if length > 100:
        assert "a number of 101 characters" in refusal(text).message
    else:
        assert parsed(text) == {"a": int("7" * 100)}


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_depth_is_capped(depth: int) -> None:
    text = "\n".join(f"{' ' * level}a:" for level in range(depth)) + " 1"
    if depth > MAX_DEPTH:
        assert refusal(text).message.startswith(f"job:{depth}: nested")
    else:
        value = parsed(text)
        for _ in range(depth):
            assert isinstance(value, dict)
            value = value["a"]
        assert value == 1


JSON_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co", "Zl", "Zp", "Cf"]))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e300, 1e300) | JSON_TEXT,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(JSON_TEXT, below, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(values=st.dictionaries(JSON_TEXT, JSON_VALUES, max_size=5))
def test_json_is_yaml(values: dict[str, object]) -> None:
    # JSON is a subset of YAML 1.2: Python's own reader is the second opinion.
    assert parsed(json.dumps(values, ensure_ascii=False)) == values


WORD = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
TREES = st.recursive(
    st.integers(0, 999),
    lambda below: st.dictionaries(WORD, below, min_size=1, max_size=4),
    max_leaves=15,
).filter(lambda tree: isinstance(tree, dict))
NOISE = st.lists(st.sampled_from(["", "# note", "   # é ✓ 漢", "#: [{"]), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    tree=TREES, noise=st.lists(NOISE, min_size=1, max_size=9), end=st.sampled_from(["\n", "\r\n"])
)
def test_every_key_has_its_line(tree: dict[str, object], noise: list[list[str]], end: str) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}

    def write(section: dict[str, object], path: tuple[str, ...]) -> None:
        for key, value in section.items():
            lines.extend(noise[len(lines) % len(noise)])
            indent = "  " * len(path)
            is_section = isinstance(value, dict)
            lines.append(f"{indent}{key}:" if is_section else f"{indent}{key}: {value}")
            expected[*path, key] = len(lines)
            if isinstance(value, dict):
                write(value, (*path, key))

    write(tree, ())
    value, places = parse(end.join(lines), lambda line: f"job:{line}")
    assert value == tree
    numbers = {path: int(re.sub("job:", "", place)) for path, place in places.items() if path}
    assert numbers == expected
