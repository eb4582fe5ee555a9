"""What all records are made of: each is one event, immutable, in its run's storage.

A record's `event_name` is the name of its file under `<run>/events/`. It carries what makes the
record unique, so that the same fact written twice (a resumed epoch, say) is one file.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Count = Annotated[int, Field(ge=0, lt=2**63)]


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Base of the records: frozen; keys that a later version added are ignored on reading."""

    # JSON has no NaN: it would be written as null, and the loss of a network that blew up is one.
    model_config = ConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True, ser_json_inf_nan="strings"
    )

    schema_version: Count = SCHEMA_VERSION
    at: AwareDatetime = Field(default_factory=now)
    """When it happened, in UTC."""

    @property
    @abstractmethod
    def event_name(self) -> str:
        """File name of the event, without `.json`."""


class Errors(BaseModel):
    """Mean loss and percent errors over `num_images` images; top-5 is null below six classes."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    loss: float
    top1_err: float
    top5_err: float | None
    num_images: Count
