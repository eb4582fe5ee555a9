"""A job that a file of weights carries: read as strictly as a job file, and as foreign."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_values import SHIPPED, job_values

from resnet_cluster.errors import JobError
from resnet_cluster.spec import CustomNetSpec, JobSpec, load_carried_job, load_job
from resnet_cluster.spec.load import MAX_CARRIED

JOB = load_job(SHIPPED / "digits_r20.yaml", overrides=["train.epochs=2"]).spec
TEXT = JOB.model_dump_json()


def test_it_is_the_job() -> None:
    assert load_carried_job(TEXT, "w.safetensors").spec == JOB


def test_a_command_line_changes_it() -> None:
    found = load_carried_job(
        TEXT, "w.safetensors", overrides=["model.depth=8"], name="other", data="elsewhere"
    )
    assert (found.spec.model.depth, found.spec.name) == (8, "other")
    assert found.spec.data.name == "elsewhere"


def changed(path: str, value: Any) -> str:
    content = json.loads(TEXT)
    *sections, last = path.split(".")
    place = content
    for section in sections:
        place = place[section]
    place[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("9" * 9999, "not JSON"),
        ("[]", "another JSON value"),
        ("{}", "the key name is missing"),
        (" " * (MAX_CARRIED + 1), "more than 64 KiB"),
        (changed("model.depth", "20"), "model.depth is '20', and must be"),
        (changed("model.depth", 20.5), "model.depth is 20.5"),
        (changed("train.lr", float("nan")), "train.lr"),
        (changed("train.lr", 10**400), "train.lr"),
        (changed("name", "../../etc"), "name is '../../etc'"),
        (changed("name", "\ud800"), "name"),
        (changed("data.name", "a\nb"), "U+000A"),
        (changed("data.augment.\x1b[31m", 1), "unknown key"),
    ],
)
def test_what_is_no_job_is_refused(text: str, says: str) -> None:
    with pytest.raises(JobError) as refused:
        load_carried_job(text, "w.safetensors")
    assert refused.value.message.startswith("w.safetensors: ")
    assert says in refused.value.message
    assert refused.value.message.isprintable()
    assert refused.value.mend


@settings(max_examples=100, deadline=None)
@given(values=job_values())
def test_any_job_comes_back(values: dict[str, Any]) -> None:
    job = JobSpec.model_validate(values)
    text = job.model_dump_json()
    if isinstance(job.model, CustomNetSpec):  # what code runs is not the file's to say
        with pytest.raises(JobError, match="somebody's own code"):
            load_carried_job(text, "w.safetensors")
        return
    assert load_carried_job(text, "w.safetensors").spec == job


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*JobSpec.model_fields, "kind", "depth"]) | st.text(max_size=4), inner
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(values=JSON, section=st.sampled_from(["", *JobSpec.model_fields]))
def test_any_other_content_is_refused_in_words(values: Any, section: str) -> None:
    text = changed(section, values) if section else json.dumps(values)
    try:
        load_carried_job(text, "w.safetensors")
    except JobError as error:
        refused = error
    else:
        return
    assert refused.message.isprintable()
