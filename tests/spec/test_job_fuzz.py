"""Whatever a job file holds, the answer is a job or one clear refusal, and soon."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_values import SHIPPED

from resnet_cluster.errors import JobError, UsageError
from resnet_cluster.spec import JobSpec, LoadedJob, load_job

TEXTS = [path.read_bytes() for path in sorted(SHIPPED.glob("*.yaml"))]
NASTY = [
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\t", b"\xe2\x80\xa8", b"\xc2\x85", b"\x1b[31m"),
    *(b"&a ", b"*a", b"!!int ", b"<<: ", b"? ", b"- ", b": ", b"---\n", b"%YAML 1.1\n", b"...\n"),
    *(b"[", b"]", b"{", b"}", b"'", b'"', b"|", b">", b"#", b",", b"\n", b"  ", b"null", b"~"),
    *(b"9" * 5000, b"-1", b"1e999", b".nan", b"0x", b"true", b"[" * 500),
    *(b'"\\UFFFFFFFF"', b"k" * 2000),
]
DEADLINE = timedelta(seconds=3)


def answer(path: Path, *overrides: str) -> LoadedJob | UsageError:
    """The job, or the refusal; anything else that comes out fails the test."""
    try:
        return load_job(path, overrides=overrides)
    except UsageError as error:
        return error


def is_clear(refusal: UsageError) -> bool:
    message, jargon = refusal.message, ("Input should", "Field required", "pydantic")
    is_short = message.isprintable() and len(message) < 1000
    return is_short and bool(refusal.mend) and not any(word in message for word in jargon)


def ends_well(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    got = answer(path)
    if isinstance(got, UsageError):
        assert isinstance(got, JobError)
        assert is_clear(got)
        assert got.message.startswith(str(path))
    else:
        assert isinstance(got.spec, JobSpec)
        assert got.source.where(()).startswith(f"{path}:")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "job.yaml"


@settings(max_examples=150, deadline=DEADLINE)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8")))
def test_anything(path: Path, content: bytes) -> None:
    ends_well(path, content)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A job that ships, a few of its bytes taken out, doubled or replaced."""
    content = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(NASTY) | st.binary(max_size=4) | st.just(content[start:end]))
        content = content[:start] + piece + content[draw(st.sampled_from([start, end])) :]
    return content


@settings(max_examples=250, deadline=DEADLINE)
@given(content=mutated())
def test_mutated_jobs(path: Path, content: bytes) -> None:
    ends_well(path, content)


@settings(max_examples=150, deadline=DEADLINE)
@given(
    override=st.text(max_size=60)
    | st.tuples(
        st.sampled_from(["train.lr", "train", "train.schedule", "name", "train.epochs", "x.y"]),
        st.text(max_size=40) | st.sampled_from([text.decode("latin1") for text in NASTY]),
    ).map("=".join)
)
def test_any_override(override: str) -> None:
    got = answer(SHIPPED / "cifar10_r110.yaml", override)
    assert not isinstance(got, UsageError) or is_clear(got)


def shaped(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3)


@settings(max_examples=150, deadline=DEADLINE)
@given(
    key=st.sampled_from(
        [
            *("name", "seed", "model", "model.depth", "data", "data.augment", "data.augment.pad"),
            *("train", "train.schedule", "train.schedule.kind", "train.schedule.milestones"),
            *("train.warmup", "train.warmup.kind", "train.epochs", "train.iterations"),
            *("train.ema", "train.lr", "evaluate", "evaluate.protocols", "resources"),
        ]
    ),
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.sampled_from(["step", "linear", "cosine", "cifar", "''", "single", "a b"]),
        shaped,
        max_leaves=6,
    ),
)
def test_values_of_any_shape(key: str, value: object) -> None:
    got = answer(SHIPPED / "cifar10_r20.yaml", f"{key}={_flow(value)}")
    assert not isinstance(got, UsageError) or is_clear(got)


def _flow(value: object) -> str:
    """A value as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    words = {"None": "null", "inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
    text = str(value)
    return words.get(text, text.lower() if isinstance(value, bool) else text)
