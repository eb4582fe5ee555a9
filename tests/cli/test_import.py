"""`import`: weights that were trained elsewhere, served like any run and never taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_calls import Call, assert_refused
from factories import make_job, make_run_record, record_run
from safetensors.torch import save_file
from tiny_runs import tiny_job
from torch import Tensor

from resnet_cluster.checkpoints import load_weights, save_weights
from resnet_cluster.nets import build_net


def make_weights(seed: int = 0, num_classes: int = 10) -> dict[str, Tensor]:
    """The tiny job's network before it has learnt anything."""
    torch.manual_seed(seed)
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=num_classes)
    return dict(net.state_dict())


@pytest.fixture
def job(tmp_path: Path, data_root: Path) -> Path:
    """The tiny job, whose recipe says what an import does not follow."""
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(tiny_job({"evaluate": {"protocols": ["single", "ten-crop"]}})))
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of torch.save."""
    path = tmp_path / "elsewhere.pth"
    torch.save(make_weights(), path)
    return path


def test_the_run_has_the_weights_as_a_training_would_leave_them(
    weights: Path, job: Path, call: Call, home: Path, tmp_path: Path
) -> None:
    done = call("import", weights, job)
    assert done.code == 0, done.err
    run_id = done.out.strip()
    run_dir = home / "runs" / run_id
    assert sorted(path.name for path in run_dir.iterdir()) == ["events", "weights.pt"]
    assert sorted(path.name for path in run_dir.parent.iterdir()) == [".lock", run_id]
    assert "`resnet-cluster evaluate tiny --protocol ten-crop`" in done.err
    kept = save_weights(tmp_path / "kept.pt", make_weights())
    artefact = json.loads((run_dir / "events" / "artefact-weights.json").read_text())
    assert (artefact["sha256"], artefact["path"]) == (kept, "weights.pt")
    assert list(load_weights(run_dir / "weights.pt")) == list(make_weights())
    record = json.loads((run_dir / "events" / "run.json").read_text())
    assert record["imported"]["file"] == "elsewhere.pth"
    assert (record["num_steps"], record["job"]["train"]["ema"]) == (0, None)


def test_what_a_killed_import_has_left_is_swept_away(
    weights: Path, job: Path, call: Call, home: Path
) -> None:
    left = home / "runs" / ".importing" / "r-00000001" / "events"
    left.mkdir(parents=True)
    (left / "run.json").write_text("{}")
    assert call("list").err == "there are no runs yet; try `resnet-cluster init`\n"
    run_id = call("import", weights, job).out.strip()
    assert sorted(path.name for path in (home / "runs").iterdir()) == [".lock", run_id]


def test_it_is_served_like_any_run(weights: Path, job: Path, call: Call, tmp_path: Path) -> None:
    run_id = call("import", weights, job).out.strip()
    other = tmp_path / "other.safetensors"
    save_file(make_weights(seed=1), other)
    assert call("import", other, job, "--name", "other").code == 0
    for name in ("tiny", "other"):
        measured = call("evaluate", name, "--protocol", "single")
        assert measured.code == 0, measured.err
    assert call("ensemble", "tiny", "other", "--protocol", "single").code == 0
    assert call("analyze", "tiny").code == 0
    assert call("data", "parity", "digits", "--run", "tiny").code == 0
    status = call("status", "tiny", "-o", "json").json()
    assert (status["state"], status["imported_from"]) == ("SUCCEEDED", "elsewhere.pth")
    assert (status["step"], status["num_steps"], status["epochs_done"]) == (0, 0, 0)
    assert "elsewhere.pth" in call("status", run_id).out
    assert "imported from elsewhere.pth; nothing was trained" in call("logs", "tiny").out
    assert " imported " in call("list").out
    shown = call("status", run_id).out
    assert "imported_from" in shown
    assert "num_steps" not in shown
    assert call("wait", "tiny").code == 0
    for form in ("table", "md", "csv", "json", "latex", "html"):
        shown = call("report", "--format", form)
        assert shown.code == 0, shown.err
        assert "trained elsewhere" in shown.out, form
    row = json.loads(call("report", "-o", "json").out)[0]
    assert (row["imported_from"], row["n"]) == ("elsewhere.pth", 1)
    assert call("rm", "tiny", "--yes").code == 0
    assert_refused(call("status", run_id), 102)


def test_there_is_no_training_to_go_on_with(weights: Path, job: Path, call: Call) -> None:
    run_id = call("import", weights, job).out.strip()
    resumed = call("resume", "tiny")
    assert (resumed.code, resumed.out.strip()) == (0, run_id)
    assert "was imported from elsewhere.pth: there is no training to go on with" in resumed.err


def test_the_same_weights_are_the_same_run(
    weights: Path, job: Path, call: Call, tmp_path: Path
) -> None:
    first = call("import", weights, job, "-o", "json").json()
    other = tmp_path / "other.safetensors"
    save_file(make_weights(), other)
    again = call("import", other, job, "--name", "other", "--set", "train.lr=1")
    assert (again.code, again.out.strip()) == (0, first["run_id"])
    assert "has these weights already" in again.err
    assert "--name other is not needed" in again.err
    assert len(call("list", "-o", "json").json()) == 1


def test_a_name_is_not_given_twice(weights: Path, job: Path, call: Call) -> None:
    run_id = call("import", weights, job).out.strip()
    refused = call("import", weights, job, "--set", "data.normalize=torchvision")
    assert_refused(refused, 2, "'tiny' belongs to", run_id)
    renamed = call("import", weights, job, "--set", "data.normalize=torchvision", "--name", "b")
    assert renamed.code == 0
    assert renamed.out.strip() != run_id


def test_a_training_of_the_same_job_is_another_experiment(
    weights: Path, job: Path, call: Call
) -> None:
    run_id = call("import", weights, job).out.strip()
    planned = call("submit", job, "--name", "other", "--dry-run", "-o", "json").json()
    assert planned["run_id"] is None
    assert planned["key"] != call("status", run_id, "-o", "json").json()["key"]
    submitted = call("submit", job, "--workers", "1")
    assert_refused(submitted, 2, "'tiny' belongs to", run_id, "another experiment")


def test_an_import_never_takes_a_trained_runs_name(
    weights: Path, job: Path, call: Call, home: Path
) -> None:
    record_run(home / "runs", make_run_record(make_job({"name": "tiny"})))
    assert_refused(call("import", weights, job), 2, "'tiny' belongs to r-0001")


def test_a_recipe_that_fits_nothing_is_no_hindrance(weights: Path, job: Path, call: Call) -> None:
    huge = ["--set", "train.global_batch_size=65536", "--set", "resources.workers=4096"]
    done = call("import", weights, job, *huge, "--set", "train.bn_group=32768")
    assert done.code == 0, done.err


def test_weights_that_are_gone(weights: Path, job: Path, call: Call, home: Path) -> None:
    run_id = call("import", weights, job).out.strip()
    (home / "runs" / run_id / "weights.pt").unlink()
    again = call("import", weights, job)
    assert again.code == 0
    assert f"`resnet-cluster rm {run_id}`" in again.err
    assert "import it again" in call("resume", "tiny").err


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--set", "model.depth=14"], 5, "not the weights of ResNet-14 with 10 classes (digits)"),
        (["--set", "model.shortcut=C"], 5, "missing: layer1.0.downsample.0.weight"),
        (["--set", "model.depth=9"], 2, "no CIFAR net of depth 9"),
        (["--data", "nothing"], 3, "no data set named 'nothing'"),
        (["--set", "depth=9"], 2, "model.depth"),
        (["--name", "A b"], 2, "--name"),
    ],
)
def test_what_does_not_fit_changes_nothing(
    options: list[str], code: int, says: str, weights: Path, job: Path, call: Call, home: Path
) -> None:
    assert_refused(call("import", weights, job, *options), code, says)
    assert not list(home.glob("runs/r-*"))


def test_files_that_are_refused(weights: Path, job: Path, call: Call, tmp_path: Path) -> None:
    assert_refused(call("import", tmp_path / "no.pth", job), 2, "no.pth: there is no such file")
    assert_refused(call("import", weights, tmp_path / "no.yaml"), 2, "no.yaml")
    assert_refused(call("import", weights), 2, "does not say which network")
    torch.save(make_weights(num_classes=3), weights)
    assert_refused(call("import", weights, job), 5, "fc.weight ([3, 64], not [10, 64])", "3 class")
    torch.save({"x": object}, weights)
    assert_refused(call("import", weights, job), 5, "(object), which would run code")
    weights.write_bytes(b"\x80\x02}q\x00.")
    assert call("import", weights, job).code == 5


def test_a_disk_that_is_full_leaves_nothing(
    weights: Path, job: Path, call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: Path, weights: object) -> str:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("resnet_cluster.cluster.importing.save_weights", no_room)
    refused = call("import", weights, job)
    assert_refused(refused, 3, "No space left on device", "free some space")
    assert [path.name for path in (home / "runs").iterdir()] == [".lock"]
    assert call("list").out == ""


def test_a_name_that_is_no_text(weights: Path, job: Path, call: Call) -> None:
    odd = weights.rename(weights.with_name("w\udcff\x1b[31m.pth"))
    done = call("import", odd, job)
    assert done.code == 0, done.err
    assert call("status", "tiny", "-o", "json").json()["imported_from"] == r"w\udcff\x1b[31m.pth"
