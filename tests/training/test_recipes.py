"""The recipes of the CIFAR and ImageNet jobs: two workers, and a textbook's training of the same.

Batches are small and images few, or small; the recipe is the shipped job's. In double precision, so
that a mistake in any of it has nowhere to hide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from plain_training import PlainCifarNet, PlainTraining, Rates, torchvision_net
from ranks import RankServer
from tiny_jobs import final_weights, read_json_lines
from torch import nn

from resnet_cluster.spec import JobSpec, load_job

pytestmark = pytest.mark.timeout(300)
JOBS = Path(__file__).parents[2] / "jobs"
TOLERANCE = 1e-9


def paper_rates(step: int, errors: list[float]) -> float:
    """Divided by ten at two milestones, here 3 and 5 of 6."""
    return 0.1 / 10 ** ((step >= 3) + (step >= 5))


def warmed_rates(step: int, errors: list[float]) -> float:
    """0.01 until the error of two iterations is below the bound, then as the others."""
    windows = [sum(errors[at : at + 2]) / 2 for at in range(0, len(errors) - 1, 2)]
    return paper_rates(step, errors) if any(error < 89 for error in windows) else 0.01


def triangle(step: int, errors: list[float]) -> float:
    """From 1.7e-4 to 1.7 and to 0; here the peak is after 2 of 4 steps."""
    return float(np.interp(step, [0, 2, 4], [1.7e-4, 1.7, 0.0]))


def half_cosine(step: int, errors: list[float]) -> float:
    """The same rise, then half a cosine."""
    share = max(0.0, (step - 2) / 2)
    fall = 1.7 * 0.5 * (1 + np.cos(np.pi * share))
    return 1.7e-4 + step / 2 * (1.7 - 1.7e-4) if step < 2 else float(fall)


def constant(step: int, errors: list[float]) -> float:
    """A plateau that has seen nothing yet."""
    return 0.1


@dataclass(frozen=True)
class Recipe:
    """A shipped job, changed only where it is too large for a test."""

    name: str
    overrides: tuple[str, ...]
    rates: Rates
    num_steps: int = 6

    @property
    def job(self) -> JobSpec:
        """The job."""
        length = f"train.iterations={self.num_steps}"
        small = ("evaluate.observe_every=0", "evaluate.protocols=[single]", "resources.workers=2")
        return load_job(
            JOBS / f"{self.name}.yaml", overrides=(*small, *self.overrides, length)
        ).spec


SMALLEST = ("train.global_batch_size=4", "train.bn_group=2")
SMALL_VIEW = "data.view={resize: 72, size: 64}"
SMALL = ("train.global_batch_size=8", "train.bn_group=4")
MILESTONES = "train.schedule.milestones=[3, 5]"
CIFAR = (*SMALL, MILESTONES)
RECIPES = {
    "cifar, 50,000 images": Recipe("cifar10_r20", CIFAR, paper_rates),
    "cifar, 45,000 images": Recipe("cifar10_r20", (*CIFAR, "data.holdout=20"), paper_rates),
    "cifar, plain": Recipe("cifar10_r20", (*CIFAR, "model.shortcut=none"), paper_rates),
    "cifar, 110 layers": Recipe(
        "cifar10_r110",
        (*CIFAR, "train.warmup.below=89", "train.warmup.window=2"),
        warmed_rates,
    ),
    "cifar, 1202 layers": Recipe(
        "cifar10_r110",
        (*SMALLEST, "model.depth=1202", "train.schedule.milestones=[1]"),
        lambda step, errors: 0.01,
        num_steps=2,
    ),
    "imagenet, the paper's": Recipe(
        "imagenet_r50_paper",
        (*SMALLEST, "data.holdout=4"),
        constant,
        num_steps=2,
    ),
    "imagenet, modern": Recipe(
        "imagenet_r50",
        (
            *SMALLEST,
            SMALL_VIEW,
            "train.precision=off",
            "data.crop={kind: random_resized, size: 64}",
            "train.warmup.length=2",
        ),
        triangle,
        num_steps=4,
    ),
    "imagenet, modern with a cosine and an average": Recipe(
        "imagenet_r50",
        (
            *SMALLEST,
            SMALL_VIEW,
            "train.precision=off",
            "data.crop={kind: random_resized, size: 64}",
            "train.warmup.length=2",
            "train.schedule.kind=cosine",
            "train.ema.decay=0.9",
            "model.depth=18",
            "model.variant=v1",
        ),
        half_cosine,
        num_steps=4,
    ),
}


def make_net(job: JobSpec) -> nn.Module:
    model = job.model
    if model.family == "cifar":
        return PlainCifarNet(model.depth, is_plain=model.shortcut == "none")
    return torchvision_net(
        model.depth, variant=model.variant, blur_pool=model.blur_pool, num_classes=2
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_textbooks(
    name: str, server: RankServer, few_digits: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    recipe = RECIPES[name]
    job = recipe.job
    is_cifar = job.model.family == "cifar"
    dataset = few_digits if is_cifar else request.getfixturevalue("photos")
    server.run(
        "rank_functions:train_in_double",
        tmp_path,
        world_size=2,
        job=job.model_dump_json(),
        dataset=str(dataset),
    )
    plain = PlainTraining(job=job, dataset=dataset, net=make_net(job), rates=recipe.rates)
    plain.run(recipe.num_steps)
    assert read_json_lines(tmp_path / "reports-0.jsonl")[-1]["step"] == recipe.num_steps
    weights = final_weights(tmp_path)
    theirs = plain.net.state_dict()
    names = dict(zip(theirs, weights, strict=True))
    averages = dict(zip(dict(plain.net.named_parameters()), plain.average, strict=True))
    for key, tensor in theirs.items():
        if job.train.ema and key not in averages:
            continue  # running statistics are averaged too, and compared in test_engine
        expected = averages[key] if job.train.ema else tensor
        found = weights[names[key]]
        scale = max(1.0, float(expected.abs().max()))
        assert float((found - expected).abs().max()) <= TOLERANCE * scale, key
    if name == "cifar, 110 layers":
        assert plain.lrs[0] == 0.01
        assert plain.lrs[-1] != 0.01
