"""Records to rows of the tables and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, ValidationError

from resnet_cluster.errors import IntegrityError
from resnet_cluster.results import schema
from resnet_cluster.results.analyses import EnsembleRecord, NormsRecord, ResponsesRecord
from resnet_cluster.results.base import Errors, Record
from resnet_cluster.results.records import (
    AnyRecord,
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptTraining,
    EpochRecord,
    EvaluationRecord,
    RunRecord,
    RunState,
)
from resnet_cluster.results.summary import Attempt

AnyRecordT = TypeVar("AnyRecordT", bound=Record)
Row = Mapping[str, Any]

TABLES: dict[type[Record], sa.Table] = {
    RunRecord: schema.runs,
    EpochRecord: schema.epochs,
    EvaluationRecord: schema.evaluations,
    EnsembleRecord: schema.ensembles,
    ResponsesRecord: schema.responses,
    NormsRecord: schema.norms,
    ArtefactRecord: schema.artefacts,
}
"""The table of each kind of record that has one to itself; attempts are put together from three."""


_ERRORS = tuple(Errors.model_fields)


def row_of(record: Record, **owner: Any) -> dict[str, Any]:
    """Columns of a record: errors are spread over columns of their own, other parts are JSON.

    Args:
        record: of a kind that has a table in `TABLES`.
        owner: columns that the record does not know, such as the run's.
    """
    row: dict[str, Any] = owner
    for name, value in record:
        if isinstance(value, Errors):
            row |= {f"{name}_{field}": part for field, part in value}
        elif isinstance(value, BaseModel):
            row[name] = value.model_dump(mode="json")
        elif isinstance(value, tuple):
            row[name] = [
                part.model_dump(mode="json") if isinstance(part, BaseModel) else part
                for part in value
            ]
        else:
            row[name] = value
    return {column.name: row.get(column.name) for column in TABLES[type(record)].columns}


def record_of(kind: type[AnyRecordT], row: Row) -> AnyRecordT:
    """The record of a row.

    Raises:
        IntegrityError: the row is not one that this tool wrote.
    """
    fields: dict[str, Any] = {}
    for name in kind.model_fields:
        if name in row:
            fields[name] = row[name]
        elif f"{name}_num_images" in row:
            fields[name] = _errors_of(name, row)
    try:
        return kind.model_validate(fields, strict=False)
    except ValidationError as error:
        raise damaged(f"a row of {TABLES[kind].name}") from error


def attempt_row(record: AnyRecord) -> dict[str, Any]:
    """What an event says of its attempt; empty for an event about anything else."""
    match record:
        case AttemptStarted():
            return {
                "number": record.attempt,
                "owner": record.owner,
                "address": record.address,
                "started_at": record.at,
            }
        case AttemptTraining():
            return {
                "number": record.attempt,
                "world_size": record.world_size,
                "device": record.device,
                "first_step": record.first_step,
                "training_at": record.at,
            }
        case AttemptEnded():
            return {
                "number": record.attempt,
                "state": record.state.value,
                "message": record.message,
                "ended_at": record.at,
            }
        case _:
            return {}


def attempt_of(row: Row) -> Attempt:
    """The attempt of a row."""
    fields = {name: value for name, value in row.items() if name != "run_id"}
    state = fields.pop("state")
    return Attempt(**fields, state=RunState(state) if state else None)


def damaged(what: str) -> IntegrityError:
    """The error of a store whose content is not what was written."""
    return IntegrityError(
        f"the result store is damaged: {what} cannot be read",
        mend="delete the store: it is rebuilt from the runs' events when it is next opened",
    )


def _errors_of(name: str, row: Row) -> Errors | None:
    parts = {field: row[f"{name}_{field}"] for field in _ERRORS}
    if parts["num_images"] is None:
        return None
    if parts["loss"] is None:
        parts["loss"] = math.nan
    return Errors(**parts)
