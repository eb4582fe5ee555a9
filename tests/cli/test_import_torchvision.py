"""torchvision's own file, measured on photographs as torchvision would measure it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cli_calls import Call
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models, transforms

from resnet_cluster.data import prepare
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.evaluation import Predictions

REPOSITORY = Path(__file__).parents[2]
NUM_CLASSES, NUM_EACH = 8, 10
PREPARED = transforms.Compose(
    [
        transforms.Resize(72),
        transforms.CenterCrop(64),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty photographs in eight made-up classes, to train on and to test on."""
    folder = tmp_path_factory.mktemp("images")
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        members = sorted((m for m in tar if m.isfile()), key=lambda member: member.name)
        for place, member in enumerate(members[: NUM_CLASSES * NUM_EACH]):
            file = tar.extractfile(member)
            assert file is not None
            content = file.read()
            for split in ("train", "test"):
                path = folder / split / "abcdefgh"[place % NUM_CLASSES] / f"{place:03d}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def data_folder(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, prepared, with the JPEG bytes as they come."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RESNET_CLUSTER_DATA", str(folder))
        prepare(str(images), name="photos", encoding=Encoding(mode="jpg"))
    return folder


@pytest.fixture(scope="module")
def seen(images: Path) -> tuple[Tensor, Tensor]:
    """The test images as torchvision prepares them, and their classes."""
    paths = sorted((images / "test").glob("*/*.JPEG"))
    pixels = torch.stack([PREPARED(Image.open(path).convert("RGB")) for path in paths])
    return pixels, torch.tensor(["abcdefgh".index(path.parent.name) for path in paths])


@torch.no_grad()
def drawn(arch: str, pixels: Tensor) -> nn.Module:
    """torchvision's net with random weights, whose answers differ from image to image."""
    torch.manual_seed(3)
    net: nn.Module = models.get_model(arch, num_classes=NUM_CLASSES)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # its statistics are those of these images
    nn.init.normal_(net.get_parameter("fc.weight"), std=0.1)
    net(pixels)
    net.eval()
    net.get_parameter("fc.bias").sub_(net(pixels).mean(dim=0))
    return net


@pytest.mark.parametrize(
    ("arch", "model", "suffix"),
    [
        ("resnet18", "{family: imagenet, depth: 18, shortcut: B}", "pth"),
        ("resnet34", "{family: imagenet, depth: 34, shortcut: B}", "safetensors"),
        ("resnet50", "{family: imagenet, depth: 50, shortcut: B, variant: v1.5}", "pth"),
    ],
)
def test_the_figures_are_torchvisions(
    arch: str,
    model: str,
    suffix: str,
    seen: tuple[Tensor, Tensor],
    data_folder: Path,
    home: Path,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESNET_CLUSTER_DATA", str(data_folder))
    (pixels, labels), path = seen, tmp_path / f"{arch}.{suffix}"
    net = drawn(arch, pixels)
    if suffix == "pth":
        torch.save(net.state_dict(), path)
    else:
        save_file(net.state_dict(), path)
    words = [f"model={model}", "data.normalize=torchvision", "data.view={resize: 72, size: 64}"]
    options = [word for value in words for word in ("--set", value)]
    job = REPOSITORY / "jobs" / "imagenet_r50_paper.yaml"
    done = call("import", path, job, "--name", arch, "--data", "photos", *options)
    assert done.code == 0, done.err

    shown = call("evaluate", arch, "--protocol", "single", "-o", "json")
    assert shown.code == 0, shown.err
    errors = json.loads(shown.out)["errors"]
    with torch.inference_mode():
        log_probs = net(pixels).log_softmax(dim=1)
    assert len(set(log_probs.argmax(1).tolist())) > 4
    wrong = 100 * (log_probs.argmax(1) != labels).float().mean().item()
    best = log_probs.topk(5).indices
    wrong_of_five = 100 * (best != labels[:, None]).all(1).float().mean().item()
    assert errors["num_images"] == NUM_CLASSES * NUM_EACH
    assert errors["top1_err"] == pytest.approx(wrong)
    assert errors["top5_err"] == pytest.approx(wrong_of_five)
    # Both resize as PIL does; where the columns come first, pixels are rounded elsewhere.
    loss = -log_probs.gather(1, labels[:, None]).mean().item()
    assert errors["loss"] == pytest.approx(loss, abs=0.01)
    assert_same_answers(home / "runs" / done.out.strip(), log_probs, labels)


def assert_same_answers(run_dir: Path, log_probs: Tensor, labels: Tensor) -> None:
    """What was kept of each image is what torchvision's net says of it."""
    kept = Predictions(run_dir / "predictions" / "single-test-final").scores(0, len(labels))
    assert torch.equal(kept.labels, labels)
    assert (kept.log_probs[:, 0] - log_probs).abs().max() < 0.05
    assert torch.equal(kept.log_probs[:, 0].argmax(1), log_probs.argmax(1))
