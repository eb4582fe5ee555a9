"""A data set that is not what was prepared is refused before a run begins."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cli_calls import Call, assert_refused
from tiny_runs import tiny_job


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job on the digits."""
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(tiny_job()))
    return path


@pytest.fixture
def dataset(prepared_digits: Path, home: Path) -> Path:
    """The digits in the user's own data folder, to be damaged."""
    return Path(shutil.copytree(prepared_digits / "digits", home / "data" / "digits"))


def assert_no_run(home: Path) -> None:
    """Nothing was made but what was there."""
    assert [path.name for path in home.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("name", "source"),
    [("digits", "digits"), ("cifar10", "cifar10"), ("my-photos", "FOLDER_OR_TAR")],
)
def test_not_prepared(name: str, source: str, job: Path, call: Call, home: Path) -> None:
    refused = call("submit", job, "--data", name)
    assert_refused(refused, 3, name, f"resnet-cluster data prepare {source} --as {name}")
    assert not home.exists()
    assert_refused(call("data", "info", name), 3, f"data prepare {source} --as {name}")


@pytest.mark.parametrize("name", ["imagenet_r50.yaml", "imagenet_r50_paper.yaml"])
def test_imagenet_is_not_prepared(name: str, call: Call, home: Path) -> None:
    job = Path(__file__).resolve().parents[2] / "jobs" / name
    line = job.read_text().splitlines().index("  name: imagenet") + 1
    refused = call("submit", job)
    assert_refused(refused, 3, f"{job}:{line}: ", str(home / "data"), "147 GB of disk", "2 cores")
    assert_refused(refused, 3, "resnet-cluster data prepare /data/imagenet --as imagenet")
    assert not home.exists()


@pytest.mark.parametrize("name", ["No Name", "digits\n", "[red]", ".."])
def test_names_that_cannot_name_a_data_set(name: str, job: Path, call: Call, home: Path) -> None:
    refused = call("submit", job, "--data", name)
    assert refused.code in (2, 3)
    assert refused.err.startswith("error: ")
    assert "Traceback" not in refused.err
    assert_refused(call("data", "prepare", "digits", "--as", name), 2, "a-z, 0-9")
    assert not home.exists()


def _remove(dataset: Path) -> None:
    (dataset / "train.beton").unlink()


def _truncate(dataset: Path) -> None:
    os.truncate(dataset / "test.beton", (dataset / "test.beton").stat().st_size // 2)


def _edit(dataset: Path) -> None:
    content = bytearray((dataset / "train.beton").read_bytes())
    content[len(content) // 2] ^= 1  # a pixel
    (dataset / "train.beton").write_bytes(content)


def _edit_mean(dataset: Path) -> None:
    content = bytearray((dataset / "mean.npy").read_bytes())
    content[-1] ^= 1
    (dataset / "mean.npy").write_bytes(content)


def _edit_manifest(dataset: Path) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["classes"][0] = "another"
    (dataset / "manifest.json").write_text(json.dumps(manifest))


def _break_manifest(dataset: Path) -> None:
    (dataset / "manifest.json").write_bytes(b"{")


@pytest.mark.parametrize(
    ("damage", "file", "what"),
    [
        (_remove, "train.beton", "is missing"),
        (_truncate, "test.beton", "bytes"),
        (_edit, "train.beton", "sha256"),
        (_edit_mean, "mean.npy", "changed"),
        (_edit_manifest, "manifest.json", "edited"),
        (_break_manifest, "manifest.json", "not JSON"),
    ],
)
def test_damaged(
    damage: object, file: str, what: str, dataset: Path, job: Path, call: Call, home: Path
) -> None:
    assert callable(damage)
    damage(dataset)
    refused = call("submit", job)
    assert_refused(refused, 5, str(dataset / file), what, "resnet-cluster data prepare")
    assert_no_run(home)


def test_a_damaged_data_set_does_not_hide_the_others(
    dataset: Path, call: Call, prepared_digits: Path
) -> None:
    shutil.copytree(prepared_digits / "digits", dataset.with_name("whole"))
    _break_manifest(dataset)
    listed = call("data", "list", "-o", "json")
    assert listed.code == 0
    assert [found["folder"] for found in listed.json()] == [str(dataset.with_name("whole"))]
    assert str(dataset) in listed.err


def test_facts_of_a_data_set(data_root: Path, call: Call) -> None:
    facts = call("data", "info", "digits", "-o", "json").json()
    assert facts["schema_version"] == 1
    assert (facts["num_train_images"], facts["num_test_images"]) == (200, 40)
    assert len(facts["classes"]) == facts["num_classes"] == 10
    shown = call("data", "info", "digits").out
    assert str(data_root / "digits") in shown  # whole, however narrow the output
    assert facts["sha256"] in shown


def test_a_folder_that_is_no_data_set_is_never_to_be_removed(
    job: Path, call: Call, tmp_path: Path
) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for refused in (call("submit", job, "--data", folder), call("data", "info", folder)):
        assert refused.code == 3
        assert str(folder) in refused.err
        assert "remove" not in refused.err
        assert "data prepare" in refused.err
