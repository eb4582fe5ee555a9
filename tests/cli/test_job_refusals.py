"""A job that cannot be meant is refused: what, where, how to mend, and nothing is begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_calls import Call, assert_refused
from tiny_runs import tiny_job

TEXT = """\
name: tiny
seed: 7
model: {family: cifar, depth: 8, shortcut: A}
data:
  name: digits
  augment: {pad: 2, flip: true}
train:
  global_batch_size: 64
  bn_group: 16
  epochs: 3
  lr: 0.05
  schedule: {kind: cosine}
  precision: off
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A file that would do."""
    path = tmp_path / "job.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (b"", ["job.yaml", "empty"]),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", ["job.yaml"]),
        (b"name: x\n" * 500_000, ["job.yaml"]),
        (b"[" * 5000, ["job.yaml"]),
        (b"a: &a [1]\nb: *a\n", ["job.yaml:1"]),
        (b"- a list\n", ["job.yaml"]),
        (b"name: x\nname: y\n", ["job.yaml:2", "name"]),
        (TEXT.replace("  lr:", "  learning_rate: 1\n  lr:").encode(), ["job.yaml:11", "learning"]),
        (TEXT.replace("seed:", "sed:").encode(), ["job.yaml:2", "sed", "seed"]),
    ],
    ids=[
        "empty",
        "binary",
        "huge",
        "nested",
        "aliased",
        "list",
        "duplicate",
        "unknown",
        "misspelt",
    ],
)
def test_files_that_are_no_jobs(
    content: bytes, fragments: list[str], job: Path, call: Call, home: Path
) -> None:
    job.write_bytes(content)
    assert_refused(call("submit", job), 2, *fragments)
    assert not home.exists()


def test_a_file_that_is_not_there(call: Call, tmp_path: Path, home: Path) -> None:
    assert_refused(call("submit", tmp_path / "absent.yaml"), 2, "absent.yaml")
    assert_refused(call("submit", tmp_path), 2, str(tmp_path))
    assert not home.exists()


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"model.depth": 21}, ["job.yaml:3", "21", "20"]),
        ({"model.depth": 42, "model.family": "imagenet"}, ["42", "50"]),
        ({"train.bn_group": 24}, ["24", "64"]),
        ({"train.global_batch_size": 0}, ["global_batch_size"]),
        ({"train.global_batch_size": 4096}, ["4096", "200"]),
        ({"data.holdout": 190}, ["190"]),
        ({"resources.workers": 5}, ["5", "4"]),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_jobs_that_cannot_be(
    changes: dict[str, Any],
    fragments: list[str],
    tmp_path: Path,
    call: Call,
    data_root: Path,
    home: Path,
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(_yaml(tiny_job(changes)))
    assert_refused(call("submit", path), 2, *fragments)
    assert_refused(call("submit", path, "--dry-run"), 2, *fragments)
    assert not home.exists()


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "two\nlines", "[bold red]x", "", "x" * 64, "-x", "Größe", "a b"]
)
def test_names_that_cannot_name_a_run(name: str, job: Path, call: Call, home: Path) -> None:
    refused = call("submit", job, f"--name={name}")
    assert_refused(refused, 2, "--name")
    assert refused.err.count("\n") == 2  # the name could not break the message
    job.write_text(TEXT.replace("name: tiny", f"name: {json.dumps(name)}"))
    assert_refused(call("submit", job), 2, "job.yaml:1")
    assert not home.exists()


@pytest.mark.parametrize(
    "override", ["train.lr", "=1", "train.lrr=0.1", "train.lr=[", "train.lr=fast", "train=1"]
)
def test_overrides_that_cannot_be_meant(override: str, job: Path, call: Call, home: Path) -> None:
    assert_refused(call("submit", job, "--set", override), 2, "--set")
    assert not home.exists()


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_numbers_of_workers_that_cannot_be(count: str, job: Path, call: Call) -> None:
    refused = call("submit", job, f"--workers={count}")
    assert refused.code == 2
    assert "--workers" in refused.err
    assert call("resume", "tiny", f"--workers={count}").code == 2


def test_debug_shows_the_traceback_wherever_it_stands(
    job: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.write_text("")
    for argv in (["--debug", "submit", job], ["submit", "--debug", job]):
        shown = call(*argv)
        assert shown.code == 2
        assert "Traceback" in shown.err
        assert shown.err.splitlines()[-2].startswith("error: ")
    monkeypatch.setenv("RESNET_CLUSTER_DEBUG", "1")
    assert "Traceback" in call("submit", job).err


def _yaml(content: dict[str, Any]) -> str:
    """A section a line, so that its line is known."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in content.items())
