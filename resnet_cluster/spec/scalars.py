"""What a scalar of YAML means: the core schema of YAML 1.2 (section 10.3.2), and no more.

`off`, `yes` and `1:30` are text, `1e-3` is a number, `010` is ten.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

MAX_NUMBER_LENGTH = 100
"""Characters of a number; beyond it Python's own conversions grow slow, or refuse."""

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)")


def resolve_plain(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Raises:
        ValueError: a number of more than MAX_NUMBER_LENGTH characters.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INFINITY.fullmatch(text):
        return float(text.replace(".", ""))
    if not (_FLOAT.fullmatch(text) or _BASED_INTEGER.fullmatch(text)):
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError(f"a number of {len(text)} characters")
    if _INTEGER.fullmatch(text):
        return int(text)
    return int(text, 0) if _BASED_INTEGER.fullmatch(text) else float(text)
