"""How the command line's tests call it, and what they expect of a refusal."""

from __future__ import annotations

from collections.abc import Callable

from sandbox import Result

Call = Callable[..., Result]


def assert_refused(result: Result, code: int, *fragments: str) -> None:
    """The result says what is wrong and how to mend it, as a message and not as a traceback."""
    assert (result.code, result.out) == (code, ""), result
    assert result.err.startswith("error: "), result.err
    assert "\n  mend: " in result.err
    assert "Traceback" not in result.err
    text = " ".join(result.err.split())
    assert [fragment for fragment in fragments if fragment not in text] == [], text
