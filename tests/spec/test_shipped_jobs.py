"""The jobs that ship: the paper's recipe, copied out by `init`, and inside the wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from factories import IMAGENET_FACTS
from job_values import SHIPPED

from resnet_cluster.planning import plan
from resnet_cluster.spec import (
    AblationRequest,
    PlateauSchedule,
    RandomResizedSpec,
    ShorterSideJitterSpec,
    TorchvisionNetSpec,
    copy_jobs,
    crop_side,
    load_ablation,
    load_job,
    schedule_in_steps,
    shipped_ablations,
    shipped_jobs,
)
from resnet_cluster.training.rate import LearningRate

ROOT = SHIPPED.parent
NAMES = [
    "cifar10_r110.yaml",
    "cifar10_r20.yaml",
    "digits_r20.yaml",
    "imagenet_r50.yaml",
    "imagenet_r50_paper.yaml",
    "imagenet_vgg16.yaml",
]
ABLATIONS = [
    "ablations/cifar10_fig1.yaml",
    "ablations/cifar10_fig6.yaml",
    "ablations/cifar10_table6.yaml",
    "ablations/imagenet_depth.yaml",
    "ablations/imagenet_table2.yaml",
    "ablations/imagenet_table3.yaml",
]


def test_they_are_the_source_trees() -> None:
    assert shipped_jobs() == [SHIPPED / name for name in NAMES]
    assert shipped_ablations() == [SHIPPED / name for name in ABLATIONS]


@pytest.mark.parametrize("name", NAMES)
def test_each_opens_with_its_command_and_is_named_like_its_file(name: str) -> None:
    opening = (SHIPPED / name).read_text().split("\nname:")[0].splitlines()
    assert all(line.startswith("#") for line in opening)
    assert f"#   resnet-cluster submit jobs/{name}" in opening
    assert any("test error" in line for line in opening)
    job = load_job(SHIPPED / name).spec
    assert f"{job.name}.yaml" == name
    assert f"--as {job.data.name}" in "\n".join(opening)


@pytest.mark.parametrize(("name", "depth"), [("cifar10_r20.yaml", 20), ("cifar10_r110.yaml", 110)])
def test_cifar_jobs_are_the_papers_recipe(name: str, depth: int) -> None:
    """Section 4.2: batch 128 on two GPUs, 64k iterations, 0.1 divided at 32k and 48k."""
    job = load_job(SHIPPED / name).spec
    assert (job.model.family, job.model.depth, job.model.shortcut) == ("cifar", depth, "A")
    assert job.data.augment.model_dump() == {"pad": 4, "flip": True, "color": "none"}
    assert not job.data.cuts
    assert job.data.normalize == "pixel_mean"
    train = job.train.model_dump()
    assert train["schedule"] == {"kind": "step", "milestones": (32_000, 48_000), "gamma": 0.1}
    assert {key: train[key] for key in ("global_batch_size", "bn_group", "iterations", "lr")} == {
        "global_batch_size": 128,
        "bn_group": 64,
        "iterations": 64_000,
        "lr": 0.1,
    }
    assert (train["momentum"], train["weight_decay"], train["nesterov"]) == (0.9, 1e-4, False)
    assert train["decay_bn_and_bias"]
    assert (train["label_smoothing"], train["ema"]) == (0.0, None)
    assert train["precision"] == "off"


def test_110_layers_warm_up_until_the_error_falls() -> None:
    """Section 4.2: 0.01 until the training error is below 80 %, then on as the others."""
    warmup = load_job(SHIPPED / "cifar10_r110.yaml").spec.train.warmup
    assert warmup is not None
    rule = {"kind": "until_train_error", "lr": 0.01, "below": 80.0}
    assert rule.items() <= warmup.model_dump().items()
    assert load_job(SHIPPED / "cifar10_r20.yaml").spec.train.warmup is None


def test_the_modern_job_is_ffcv_imagenets_recipe() -> None:
    """Its rn50_16_epochs.yaml and train_imagenet.py: batches of 512 on each of 8 GPUs."""
    job = load_job(SHIPPED / "imagenet_r50.yaml").spec
    train, crop = job.train, job.data.crop
    assert (train.global_batch_size, train.bn_group, job.resources.workers) == (8 * 512, 512, 8)
    assert (train.epochs, train.lr, train.momentum, train.weight_decay) == (16, 1.7, 0.9, 1e-4)
    assert (train.label_smoothing, train.decay_bn_and_bias) == (0.1, False)
    steps = 1_281_167 // train.global_batch_size
    rate = LearningRate(train, schedule_in_steps(train, steps))
    for epoch in (0, 0.5, 1, 2, 5, 11.5, 15.99):
        published = np.interp(epoch, [0, 2, 16], [1e-4 * 1.7, 1.7, 0])
        assert rate.at(round(epoch * steps)) == pytest.approx(published, abs=0.003)
    assert isinstance(crop, RandomResizedSpec)
    assert (crop.scale, crop.ratio) == ((0.08, 1.0), (0.75, 4 / 3))
    assert [crop_side(crop, train, epoch, steps) for epoch in range(16)] == [160] * 12 + [192] * 4
    assert job.data.view
    assert job.data.view.resize == int(256 * 256 / 224)


def test_the_imagenet_job_is_the_papers_recipe() -> None:
    """Section 3.4."""
    job = load_job(SHIPPED / "imagenet_r50_paper.yaml").spec
    train, crop = job.train, job.data.crop
    assert (train.global_batch_size, train.iterations, train.lr) == (256, 600_000, 0.1)
    assert (train.momentum, train.weight_decay, train.decay_bn_and_bias) == (0.9, 1e-4, True)
    assert (train.label_smoothing, train.ema, train.warmup) == (0, None, None)
    assert isinstance(train.schedule, PlateauSchedule)
    assert train.schedule.gamma == 0.1
    assert isinstance(crop, ShorterSideJitterSpec)
    assert (crop.size, crop.shorter_side) == (224, (256, 480))
    assert job.data.augment.model_dump() == {"pad": 0, "flip": True, "color": "pca"}
    assert job.data.normalize == "pixel_mean"
    assert (job.model.shortcut, job.model.variant) == ("B", "v1")


def test_the_vgg_job_is_its_authors_recipe() -> None:
    """Simonyan and Zisserman, section 3.1."""
    job = load_job(SHIPPED / "imagenet_vgg16.yaml").spec
    assert job.model == TorchvisionNetSpec(family="torchvision", arch="vgg16")
    train, crop = job.train, job.data.crop
    assert (train.global_batch_size, train.momentum, train.weight_decay) == (256, 0.9, 5e-4)
    assert (train.lr, train.iterations) == (0.01, 370_000)
    assert isinstance(crop, ShorterSideJitterSpec)
    assert (crop.size, crop.shorter_side) == (224, (256, 512))
    assert job.data.normalize == "channel_mean"
    planned = plan(job, IMAGENET_FACTS)
    # Table 1's 15.3e9 and the VGG paper's 138 million, Table 2.
    assert planned.flops == pytest.approx(15.3e9, rel=0.015)
    assert round(planned.num_parameters / 1e6) == 138


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("imagenet_r")])
@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
@pytest.mark.parametrize("shortcut", ["none", "B"])
@pytest.mark.parametrize("workers", [1, 8])
def test_an_imagenet_job_serves_every_depth_and_its_plain_twin(
    name: str, depth: int, shortcut: str, workers: int
) -> None:
    overrides = [f"model.depth={depth}", f"model.shortcut={shortcut}"]
    if depth < 50:
        overrides.append("model.variant=v1")
    job, source = load_job(SHIPPED / name, overrides=overrides, workers=workers)
    planned = plan(job, IMAGENET_FACTS, source=source)
    assert planned.num_classes == 1000
    assert sum(planned.micro_batches_per_worker) == 8


def test_copies_keep_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "new/jobs"
    folder.mkdir(parents=True)
    (folder / "cifar10_r20.yaml").write_text("mine")
    copied = copy_jobs(folder)
    written = [str(path.relative_to(folder)) for path in copied.written]
    assert written == [name for name in NAMES + ABLATIONS if name != "cifar10_r20.yaml"]
    assert copied.kept == [folder / "cifar10_r20.yaml"]
    assert (folder / "cifar10_r20.yaml").read_text() == "mine"
    for path in copied.written:
        assert path.read_bytes() == (SHIPPED / path.relative_to(folder)).read_bytes()
    assert sorted(path.name for path in folder.glob("*.yaml")) == NAMES
    ablation = load_ablation(folder / "ablations" / "imagenet_depth.yaml", AblationRequest())
    assert ablation.base().spec.name == "imagenet_r50_paper"


def test_a_second_copy_writes_nothing(tmp_path: Path) -> None:
    copy_jobs(tmp_path)
    kept = copy_jobs(tmp_path).kept
    assert [str(path.relative_to(tmp_path)) for path in kept] == NAMES + ABLATIONS


def run(*arguments: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_the_wheel_holds_them(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("resnet_cluster", "jobs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md"):
        shutil.copy(ROOT / name, source)
    (source / "LICENSE").write_text("as the project's")
    build = "from setuptools.build_meta import build_sdist, build_wheel as w; w('..')"
    run("-c", f"{build}; build_sdist('..')", folder=source)

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for name in NAMES + ABLATIONS:
        installed = tmp_path / "site/resnet_cluster/jobs" / name
        assert installed.read_bytes() == (SHIPPED / name).read_bytes()
    shutil.unpack_archive(next(tmp_path.glob("*.tar.gz")), tmp_path / "sdist")
    assert sorted(path.name for path in tmp_path.glob("sdist/*/jobs/*.yaml")) == NAMES
    packed = sorted(path.name for path in tmp_path.glob("sdist/*/jobs/ablations/*.yaml"))
    assert packed == [Path(name).name for name in ABLATIONS]

    # As installed, away from the source tree: the package's own copy is found.
    find = "import sys; sys.path.insert(0, '.'); from resnet_cluster.spec import shipped_jobs as s"
    found = run("-c", f"{find}; print(*s(), sep='\\n')", folder=tmp_path / "site")
    assert found.split() == [str(tmp_path / "site/resnet_cluster/jobs" / name) for name in NAMES]


def test_specs_import_nothing_heavy(tmp_path: Path) -> None:
    probe = "import resnet_cluster.spec, sys; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(run("-c", probe, folder=tmp_path).split())
    assert not loaded & {"torch", "ray", "ffcv", "numba", "numpy", "sqlalchemy", "ruamel", "PIL"}
