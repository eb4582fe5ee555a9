"""The base of every spec: a frozen value whose fields are all named and all checked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Frozen, keyword-only, hashable; an unknown key or a value of another type is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class SpecError(ValueError):
    """A value that has the right type and range, and still cannot be meant.

    Args:
        key: the key to change, dotted, below the value that was being checked; empty for itself.
        message: what does not fit what.
        mend: how to put it right.
    """

    def __init__(self, key: str, message: str, *, mend: str) -> None:
        super().__init__(message)
        self.key = key
        self.mend = mend


def number_text(number: float) -> str:
    """A number as a person writes it: 64000, not 64000.0 or 6.4e+04."""
    return str(int(number)) if number == int(number) else repr(number)
