"""Users' texts, made harmless in each format: names and paths can hold anything."""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~])")
_BETWEEN_WORDS = re.compile(r"(?<=\w)\\_(?=\w)")


def plain(text: str) -> str:
    """Text that shows as it is: control, direction and line characters are spelt out."""
    return "".join(
        character
        if unicodedata.category(character) not in _HIDDEN
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def markdown(text: str) -> str:
    """Text that Markdown, and the HTML made of it, show as it is, in a table's cell too."""
    escaped = _MARKDOWN.sub(r"\\\1", plain(text).replace("&", "&amp;")).replace("\\<", "&lt;")
    # An underscore between letters emphasises nothing, and names are full of them.
    return _BETWEEN_WORDS.sub("_", escaped)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "[": "{[}",  # at the start of a line of a table it would be an argument
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_LIGATURE = re.compile(r"([-,])(?=\1)")


def latex(text: str) -> str:
    """Text that LaTeX shows as it is, outside of mathematics."""
    parted = _LIGATURE.split(plain(text))
    words = ("".join(_LATEX.get(character, character) for character in part) for part in parted)
    return "".join(word + "{}" * (place % 2) for place, word in enumerate(words))


def spreadsheet(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    shown = plain(text)
    return f"'{shown}" if shown.lstrip()[:1] in ("=", "+", "-", "@") else shown
