"""Records as files: they come back as they were, whoever wrote them and whatever is added later."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from factories import make_epoch, make_job, make_run_record
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet_cluster.results import (
    AnyRecord,
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptTraining,
    EpochRecord,
    Errors,
    EvaluationRecord,
    RunState,
)
from resnet_cluster.results.records import RECORD
from resnet_cluster.results.rows import TABLES, record_of, row_of

moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))
counts = st.integers(0, 2**63 - 1)
texts = st.text(max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
errors = st.builds(
    Errors,
    loss=st.floats(),
    top1_err=st.floats(0, 100),
    top5_err=st.none() | st.floats(0, 100),
    num_images=counts,
)
epochs = st.builds(
    EpochRecord,
    at=moments,
    epoch=counts,
    attempt=counts,
    step=counts,
    lr=numbers,
    train=errors,
    holdout=st.none() | errors,
    observed_test=st.none() | errors,
    train_seconds=numbers,
    images_per_second=numbers,
)
evaluations = st.builds(
    EvaluationRecord,
    at=moments,
    protocol=texts,
    split=texts,
    select=texts,
    ema=st.booleans(),
    step=counts,
    errors=errors,
)
artefacts = st.builds(
    ArtefactRecord, at=moments, name=texts, path=texts, sha256=texts, num_bytes=counts
)
attempts = (
    st.builds(AttemptStarted, at=moments, attempt=counts, owner=texts, address=st.none() | texts)
    | st.builds(
        AttemptTraining,
        at=moments,
        attempt=counts,
        world_size=counts,
        device=texts,
        first_step=counts,
    )
    | st.builds(
        AttemptEnded, at=moments, attempt=counts, state=st.sampled_from(RunState), message=texts
    )
)


@given(epochs | evaluations | artefacts | attempts)
def test_a_record_comes_back_from_json_as_it_was(record: AnyRecord) -> None:
    content = record.model_dump_json()
    json.loads(content, parse_constant=_refuse)
    back = RECORD.validate_python(json.loads(content), strict=False)
    assert type(back) is type(record)
    # A loss may be a NaN, which equals nothing: compare what is written.
    assert back.model_dump_json() == content


@given(epochs | evaluations | artefacts)
def test_a_record_comes_back_from_its_row(record: EpochRecord | EvaluationRecord) -> None:
    row = row_of(record, run_id="r-1")
    table = TABLES[type(record)]
    assert list(row) == [column.name for column in table.columns]
    assert record_of(type(record), row).model_dump_json() == record.model_dump_json()


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_what_a_later_version_adds_is_ignored() -> None:
    content = json.loads(make_epoch(3).model_dump_json())
    content |= {"schema_version": 1, "energy_joules": 3.5}
    content["train"]["top10_err"] = 0.1
    assert RECORD.validate_python(content, strict=False) == make_epoch(3)


@pytest.mark.parametrize(
    "change",
    [{"epoch": -1}, {"step": 2**63}, {"at": "2026-03-01T12:00:00"}, {"kind": "era"}, {"lr": None}],
)
def test_what_no_version_writes_is_refused(change: dict[str, object]) -> None:
    content = json.loads(make_epoch(3).model_dump_json()) | change
    with pytest.raises(ValidationError):
        RECORD.validate_python(content, strict=False)


def test_a_record_cannot_be_changed() -> None:
    run = make_run_record(make_job())
    with pytest.raises(ValidationError, match="frozen"):
        setattr(run, "name", "another")  # noqa: B010 - mypy refuses the plain assignment


def test_a_state_ends_a_run_or_does_not() -> None:
    going_on = {"PENDING", "RUNNING", "RECOVERING"}
    assert {state.value for state in RunState if not state.is_terminal} == going_on
    assert len(RunState) == 8
