"""Networks that are not the paper's: torchvision's, and users' own with all that may be wrong."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision import models

from resnet_cluster.errors import UsageError
from resnet_cluster.nets import build_model, describe_model
from resnet_cluster.nets.custom import offer_code
from resnet_cluster.spec import CustomNetSpec, TorchvisionNetSpec, find_code

Write = Callable[..., CustomNetSpec]

HEAD = """
    import random
    import torch
    from torch import nn

    def body(num_classes, channels=4):
        return [nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)]
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module with a factory, and names it as a job would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write_module(source: str, **options: int) -> CustomNetSpec:
        (tmp_path / "own_net.py").write_text(textwrap.dedent(HEAD) + textwrap.dedent(source))
        return CustomNetSpec.model_validate(
            {
                "family": "custom",
                "entry": "own_net:net",
                "options": options,
                "source_sha256": find_code("own_net:net").sha256,
            }
        )

    return write_module


PLAIN = """
    def net(num_classes, channels=4):
        return nn.Sequential(*body(num_classes, channels))
"""


def test_it_is_built_from_the_seed_and_counted(write: Write) -> None:
    model = write(PLAIN, channels=6)
    torch.manual_seed(3)
    net = build_model(model, 10)
    torch.manual_seed(3)
    again = build_model(model, 10)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    facts = describe_model(model, num_classes=10, sizes=(16,))
    # By hand: 3x3x3 weights, a bias and two of its normalisation for each channel; the classifier.
    assert facts.num_parameters == 6 * (27 + 1 + 2) + 10 * (6 + 1)
    assert facts.flops == 16 * 16 * 27 * 6 + 60


def test_it_is_tried_without_disturbing_torchs_generator(write: Write) -> None:
    model = write(PLAIN)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    describe_model(model, num_classes=10, sizes=(16, 24), measured_sizes=(32,))
    assert torch.equal(torch.rand(3), expected)


def test_code_that_looks_at_values_is_counted_too(write: Write) -> None:
    model = write("""
        class Net(nn.Sequential):
            def forward(self, images):
                return super().forward(images if images.mean().item() < 9 else images)
        def net(num_classes):
            return Net(*body(num_classes))
    """)
    assert describe_model(model, num_classes=10, sizes=(16,)).flops == 16 * 16 * 27 * 4 + 40


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def other(num_classes): pass", "no function 'net'"),
        ("net = 3", "no function 'net'"),
        ("raise RuntimeError('on import')", "RuntimeError: on import"),
        ("import nothing_like_it", "ModuleNotFoundError"),
        ("import sys\nsys.exit('gone')", "SystemExit: gone"),
        ("import sys\ndef net(num_classes): sys.exit(3)", "SystemExit: 3"),
        ("def net(): pass", "TypeError"),
        ("def net(num_classes): raise ValueError('no\\nthing')", "ValueError: no"),
        ("def net(num_classes): return 3", "returned int"),
        ("def net(num_classes): return nn.Flatten()", "no parameters"),
        (
            "def net(num_classes): return nn.Sequential(*body(num_classes + 1))",
            r"gives \(2, 11\), and not logits of \(2, 10\)",
        ),
        (
            """
            class Net(nn.Sequential):
                def forward(self, images):
                    logits = super().forward(images)
                    return (logits, logits) if self.training else logits
            def net(num_classes): return Net(*body(num_classes))
            """,
            "gives tuple",
        ),
        (
            """
            def net(num_classes):
                made = nn.Sequential(*body(num_classes))
                made[0].weight.data.fill_(random.random())
                return made
            """,
            "different weights",
        ),
        (
            """
            def net(num_classes):
                made = nn.Sequential(*body(num_classes))
                made[0].weight.data.fill_(float("inf"))
                return made
            """,
            "not finite",
        ),
        (
            """
            def net(num_classes):
                made = nn.Sequential(*body(num_classes))
                made[0].weight.requires_grad = False
                return made
            """,
            r"frozen parameters: 0\.weight",
        ),
        (
            """
            def net(num_classes):
                made = nn.Sequential(*body(num_classes))
                made[4].spare = nn.Parameter(torch.zeros(3))
                return made
            """,
            r"no gradient: 4\.spare",
        ),
        (
            """
            class Net(nn.Sequential):
                def forward(self, images):
                    self.seen += 1
                    return super().forward(images)
            def net(num_classes):
                made = Net(*body(num_classes))
                made.register_buffer("seen", torch.zeros(1))
                return made
            """,
            "changes buffers that are not batch normalisation's: seen",
        ),
        (
            """
            def net(num_classes):
                return nn.Sequential(nn.BatchNorm2d(3, momentum=0.2), *body(num_classes))
            """,
            "differ in their momentum",
        ),
        (
            """
            def net(num_classes):
                return nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False),
                                     *body(num_classes))
            """,
            "keep no running statistics",
        ),
        (
            """
            import threading
            def net(num_classes):
                made = nn.Sequential(*body(num_classes))
                made.lock = threading.Lock()
                return made
            """,
            "cannot be copied",
        ),
        (
            """
            class Net(nn.Sequential):
                def forward(self, images):
                    return super().forward(images).detach()
            def net(num_classes): return Net(*body(num_classes))
            """,
            "no backward pass",
        ),
        (
            "def net(num_classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))",
            "not of plain tensors",
        ),
        (
            "def net(num_classes): return nn.Sequential(nn.SyncBatchNorm(3), *body(num_classes))",
            "SyncBatchNorm",
        ),
        (
            "def net(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(3, num_classes))",
            "fails on images of 16x16: RuntimeError",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(write: Write, source: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        describe_model(write(source), num_classes=10, sizes=(16,))
    assert refused.value.mend
    assert "\n" not in refused.value.message


def test_sizes_that_it_is_measured_at_are_tried(write: Write) -> None:
    model = write("""
        def net(num_classes):
            return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))
    """)
    assert describe_model(model, num_classes=10, sizes=(16,)).flops == 7680
    with pytest.raises(UsageError, match="images of 24x24"):
        describe_model(model, num_classes=10, sizes=(16,), measured_sizes=(24,))
    with pytest.raises(UsageError, match="no 3x3 convolution"):
        describe_model(model, num_classes=10, sizes=(16,), watched=True)
    assert describe_model(write(PLAIN), num_classes=10, sizes=(16,), watched=True)


def test_the_source_must_be_that_of_the_job(write: Write, tmp_path: Path) -> None:
    """A copy that is offered, such as that in a run's folder, serves in its place."""
    model = write(PLAIN, channels=5)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "own_net.py").write_bytes((tmp_path / "own_net.py").read_bytes())
    write("def net(num_classes): return nn.Sequential(nn.Flatten())")
    with pytest.raises(UsageError, match="not the one that the run was planned with"):
        build_model(model, 10)
    offer_code(kept)
    assert sum(1 for _ in build_model(model, 10).modules()) == 7
    offer_code(tmp_path / "not there")


def test_what_runs_is_what_was_hashed(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a compiled file of a source of the same size and second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for channels in (4, 8):
        model = write(PLAIN.replace("channels=4", f"channels={channels}"))
        os.utime(tmp_path / "own_net.py", (1_600_000_000, 1_600_000_000))
        facts = describe_model(model, num_classes=10, sizes=(8,))
        assert facts.num_parameters == channels * (27 + 1 + 2) + 10 * (channels + 1)


def test_each_code_has_its_own_modules(write: Write, tmp_path: Path) -> None:
    """Also those that are imported late, and in a package without an `__init__.py`."""
    source = """
        def net(num_classes):
            from parts.width import WIDTH
            return nn.Sequential(*body(num_classes, WIDTH))
    """
    built = []
    (tmp_path / "parts").mkdir()
    for width in (3, 5):
        (tmp_path / "parts" / "width.py").write_text(f"WIDTH = {width}")
        built.append(build_model(write(source), 10))
    assert [net[0].out_channels for net in built] == [3, 5]


def test_what_it_prints_is_no_output_of_the_command(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    build_model(write("print('loud')\n" + textwrap.dedent(PLAIN)), 10)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "loud\n")


@pytest.mark.parametrize("arch", ["googlenet", "vgg11_bn"])
def test_torchvisions_networks_are_torchvisions(arch: str) -> None:
    model = TorchvisionNetSpec(family="torchvision", arch=arch)
    torch.manual_seed(0)
    ours = build_model(model, 7)
    torch.manual_seed(0)
    more = {"aux_logits": False, "init_weights": True} if arch == "googlenet" else {}
    theirs = getattr(models, arch)(num_classes=7, **more)
    state = theirs.state_dict()
    assert ours.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())


def test_googlenet_has_the_multiply_adds_of_its_paper() -> None:
    """Szegedy et al. (CVPR 2015): about 1.5 billion, at 224x224."""
    model = TorchvisionNetSpec(family="torchvision", arch="googlenet")
    facts = describe_model(model, num_classes=1000, sizes=(224,))
    assert facts.flops == pytest.approx(1.5e9, rel=0.02)


@pytest.mark.parametrize(
    ("arch", "says"),
    [("vgg61", "no classification network 'vgg61'"), ("fcn_resnet50", "no classification")],
)
def test_what_torchvision_has_not_is_refused(arch: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        build_model(TorchvisionNetSpec(family="torchvision", arch=arch), 10)
    assert refused.value.mend
