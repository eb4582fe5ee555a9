"""`export`: a run's weights for others, and back again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from cli_calls import Call, assert_refused
from factories import make_job, make_run_record, record_run
from safetensors import safe_open
from tiny_runs import tiny_job
from torchvision import models

from resnet_cluster.checkpoints import load_weights
from resnet_cluster.data import load_manifest
from resnet_cluster.nets import build_net
from resnet_cluster.spec import load_job

IMAGENET_18 = {"family": "imagenet", "depth": 18, "shortcut": "B"}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without --out go into the working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def job(tmp_path: Path, data_root: Path) -> Path:
    """The tiny job: a mean image is subtracted."""
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(tiny_job()))
    return path


@pytest.fixture
def run_dir(tmp_path: Path, job: Path, call: Call, home: Path) -> Path:
    """A run with a CIFAR network."""
    torch.manual_seed(0)
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=10)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    return home / "runs" / call("import", tmp_path / "weights.pth", job).out.strip()


@pytest.fixture
def imagenet_run(tmp_path: Path, job: Path, call: Call) -> str:
    """A run with a network that torchvision has."""
    torch.manual_seed(0)
    net = models.resnet18(num_classes=10)
    torch.save(net.state_dict(), tmp_path / "r18.pth")
    words = [f"model={json.dumps(IMAGENET_18)}", "data.normalize=torchvision"]
    options = ["--name", "r18", *(word for value in words for word in ("--set", value))]
    done = call("import", tmp_path / "r18.pth", job, *options)
    assert done.code == 0, done.err
    return done.out.strip()


def test_to_torchvision(imagenet_run: str, call: Call, tmp_path: Path) -> None:
    done = call("export", "r18", "--to", "torchvision")
    assert (done.code, done.out) == (0, "r18.pth\n"), done.err
    assert "torchvision's resnet18 are the same to the last bit" in done.err
    assert "Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))" in done.err
    net = models.resnet18(num_classes=10)
    net.load_state_dict(torch.load("r18.pth", weights_only=True))
    original = torch.load(tmp_path / "r18.pth", weights_only=True)
    assert all(torch.equal(tensor, original[name]) for name, tensor in net.state_dict().items())
    assert [path.name for path in Path().iterdir()] == ["r18.pth"]


def test_what_torchvision_has_not(run_dir: Path, call: Call) -> None:
    refused = call("export", "tiny", "--to", "torchvision")
    assert_refused(refused, 2, "torchvision has no such network", "--to safetensors")
    assert not list(Path().iterdir())


def test_to_safetensors_with_what_is_needed_to_use_it(run_dir: Path, job: Path, call: Call) -> None:
    done = call("export", "tiny", "--to", "safetensors", "-o", "json")
    assert done.code == 0, done.err
    facts = done.json()
    assert (facts["path"], facts["format"]) == ("tiny.safetensors", "safetensors")
    assert facts["check"]["largest_difference"] == 0
    assert facts["preparation"]["mean_image"] == "tiny.safetensors.mean.npy"
    with safe_open("tiny.safetensors", "pt") as file:
        said, names = file.metadata(), set(file.keys())
        kept = load_weights(run_dir / "weights.pt")
        assert names == set(kept)
        assert all(torch.equal(file.get_tensor(name), kept[name]) for name in names)
    manifest = load_manifest("digits")
    assert said["resnet_cluster.run_id"] == run_dir.name
    assert said["resnet_cluster.dataset_sha256"] == manifest.sha256
    assert json.loads(said["resnet_cluster.classes"]) == list(manifest.classes)
    assert json.loads(said["resnet_cluster.num_classes"]) == 10
    assert (said["resnet_cluster.step"], said["resnet_cluster.select"]) == ("0", "final")
    assert json.loads(said["resnet_cluster.job"])["model"] == load_job(job).spec.model.model_dump()
    # The mean over the training images, as the network's input has it.
    mean = np.load("tiny.safetensors.mean.npy", allow_pickle=False)
    assert (mean.dtype, mean.shape) == (np.float32, (3, 8, 8))
    np.testing.assert_allclose(mean, manifest.pixel_mean().transpose(2, 0, 1), atol=1e-4)


def test_to_onnx(run_dir: Path, call: Call) -> None:
    done = call("export", "tiny", "--to", "onnx")
    assert (done.code, done.out) == (0, "tiny.onnx\n"), done.err
    assert "on random images, 4 of 8x8 and 1 of 24x16, the outputs" in done.err
    assert "(1e-04 is allowed)" in done.err
    assert "opset 18" in done.err
    session = onnxruntime.InferenceSession("tiny.onnx", providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert said["resnet_cluster.run_id"] == run_dir.name
    # As somebody without this tool would use it: an image of the test set, and the mean beside.
    image = np.full((1, 3, 8, 8), 100.0, np.float32) - np.load("tiny.onnx.mean.npy")
    (logits,) = session.run(None, {"images": image})
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=10).eval()
    net.load_state_dict(load_weights(run_dir / "weights.pt"))
    with torch.no_grad():
        expected = net(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4 * abs(expected).max())


def test_onnx_without_its_packages(
    run_dir: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_cluster.exchange.onnx_file._PACKAGES", ("onnx", "no_such_package"))
    refused = call("export", "tiny", "--to", "onnx")
    assert_refused(refused, 3, "no_such_package", "pip install 'resnet-cluster[onnx]'")
    assert not list(Path().iterdir())


def test_there_and_back(run_dir: Path, call: Call) -> None:
    before = call("evaluate", "tiny", "--protocol", "single", "-o", "json").json()
    assert call("export", "tiny", "--to", "safetensors", "--out", "a/b.safetensors").code == 0
    same = call("import", "a/b.safetensors")
    assert (same.code, same.out.strip()) == (0, run_dir.name)
    assert call("rm", "tiny", "--yes").code == 0
    back = call("import", "a/b.safetensors", "--name", "back")
    assert back.code == 0, back.err
    after = call("evaluate", "back", "--protocol", "single", "-o", "json").json()
    assert after["errors"] == before["errors"]
    assert call("status", "back", "-o", "json").json()["imported_from"] == "b.safetensors"


def test_a_carried_job_that_cannot_be_meant(run_dir: Path, call: Call) -> None:
    call("export", "tiny", "--to", "safetensors")
    content = Path("tiny.safetensors").read_bytes()
    bad = content.replace(rb"\"depth\":8", rb"\"depth\":9")
    assert bad != content
    Path("bad.safetensors").write_bytes(bad)
    refused = call("import", "bad.safetensors", "--name", "b")
    assert_refused(refused, 2, "bad.safetensors: there is no CIFAR net of depth 9")


def test_the_same_file_again_and_another_in_its_place(run_dir: Path, call: Call) -> None:
    assert call("export", "tiny", "--to", "safetensors").code == 0
    content = Path("tiny.safetensors").read_bytes()
    assert call("export", "tiny", "--to", "safetensors").code == 0
    assert Path("tiny.safetensors").read_bytes() == content
    Path("tiny.safetensors").write_bytes(b"somebody's only copy")
    refused = call("export", "tiny", "--to", "safetensors")
    assert_refused(refused, 2, "tiny.safetensors: is there already, with other content", "--out")
    assert Path("tiny.safetensors").read_bytes() == b"somebody's only copy"
    Path("tiny.safetensors").unlink()
    Path("tiny.safetensors.mean.npy").write_bytes(b"mine")
    assert_refused(call("export", "tiny", "--to", "safetensors"), 2, "mean.npy: is there already")
    assert [path.name for path in Path().iterdir()] == ["tiny.safetensors.mean.npy"]


def test_a_check_that_fails_leaves_nothing(
    run_dir: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnet_cluster.exchange import safetensors_file

    write = safetensors_file.as_safetensors

    def wrong(weights: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        return write(weights | {"fc.bias": weights["fc.bias"] + 0.5}, metadata)

    monkeypatch.setattr(safetensors_file, "as_safetensors", wrong)
    refused = call("export", "tiny", "--to", "safetensors")
    assert_refused(refused, 5, "gives other outputs", "nothing was written")
    assert not list(Path().iterdir())


def test_what_cannot_be_exported(run_dir: Path, call: Call, home: Path, tmp_path: Path) -> None:
    assert_refused(call("export", "nobody", "--to", "safetensors"), 102, "nobody")
    assert call("export", "tiny").code == 2
    assert call("export", "tiny", "--to", "keras").code == 2
    folder = call("export", "tiny", "--to", "safetensors", "--out", tmp_path)
    assert_refused(folder, 2, "is a folder")
    device = call("export", "tiny", "--to", "safetensors", "--out", "/dev/zero")
    assert_refused(device, 2, "is no plain file")
    (tmp_path / "file").write_bytes(b"")
    below = call("export", "tiny", "--to", "safetensors", "--out", tmp_path / "file" / "x")
    assert_refused(below, 2, "name another file")
    unfinished = make_run_record(make_job({"name": "unfinished"}), run_id="r-00000002")
    record_run(home / "runs", unfinished)
    assert_refused(call("export", "unfinished", "--to", "safetensors"), 101, "no weights yet")
    with (run_dir / "weights.pt").open("r+b") as file:
        file.write(b"\0\0")
    assert_refused(call("export", "tiny", "--to", "safetensors"), 5, "SHA-256")
    assert not list(Path().iterdir())


def test_without_its_data_set(
    run_dir: Path,
    imagenet_run: str,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESNET_CLUSTER_DATA", str(tmp_path / "none"))
    assert_refused(call("export", "tiny", "--to", "safetensors"), 3, "digits")
    # torchvision's constants are known without it.
    done = call("export", "r18", "--to", "safetensors")
    assert done.code == 0, done.err
    assert "will not have the names of the classes" in done.err
    with safe_open("r18.safetensors", "pt") as file:
        assert file.metadata()["resnet_cluster.classes"] == "null"
