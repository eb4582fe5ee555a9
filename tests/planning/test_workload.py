"""What is left of a run, counted: against a loop over its epochs that counts one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from factories import IMAGENET_FACTS
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_cluster.planning import DataFacts, Workload, plan, wanted_probes, workload
from resnet_cluster.spec import load_job

JOBS = Path(__file__).resolve().parents[2] / "jobs"
CIFAR10 = DataFacts(
    sha256="c" * 64, num_classes=10, image_size=32, num_train_images=50_000, num_test_images=10_000
)


def of(
    name: str, *overrides: str, data: DataFacts = CIFAR10, epochs_done: int = 0, **flags: Any
) -> Workload:
    job, source = load_job(JOBS / f"{name}.yaml", overrides=overrides, **flags)
    return workload(job, plan(job, data, source=source), data, epochs_done=epochs_done)


def test_a_short_run_keeps_fewer_checkpoints() -> None:
    one, two, three = (of("cifar10_r20", f"train.epochs={n}").disk_bytes for n in (1, 2, 3))
    assert two - one > 2 * 4 * 269_722  # weights and momentum of ResNet-20's parameters
    assert 0 < three - two < 10_000


def test_the_papers_cifar_run() -> None:
    """64,000 steps of 390 make 165 epochs, each with a look at 10,000 images; then the last one."""
    found = of("cifar10_r20")
    (steps,) = found.steps
    assert (steps.side, steps.num_steps, steps.flops) == (32, 64_000, found.flops)
    assert found.images == {"single": 165 * 10_000 + 10_000}
    assert found.num_checkpoints == 165
    assert found.workers == 1


@given(
    num_steps=st.integers(1, 6000),
    done=st.integers(0, 15),
    every=st.integers(0, 7),
    holdout=st.sampled_from([0, 5000]),
    checkpoint_every=st.sampled_from([0, 100, 390]),
)
@settings(deadline=None, max_examples=40)
def test_epochs_are_counted_as_a_loop_would(
    num_steps: int, done: int, every: int, holdout: int, checkpoint_every: int
) -> None:
    epoch_steps = (50_000 - holdout) // 128
    done = min(done, num_steps // epoch_steps)
    found = of(
        "cifar10_r20",
        f"train.iterations={num_steps}",
        "train.schedule={kind: constant}",
        f"evaluate.observe_every={every}",
        f"data.holdout={holdout}",
        f"resources.checkpoint_every_steps={checkpoint_every}",
        "evaluate.protocols=[single,flip]",
        epochs_done=done,
    )
    images = Counter({"single": 10_000, "flip-softmax": 10_000})
    steps = checkpoints = 0
    for step in range(done * epoch_steps + 1, num_steps + 1):
        steps += 1
        is_end = step % epoch_steps == 0 or step == num_steps
        checkpoints += is_end or (checkpoint_every > 0 and step % checkpoint_every == 0)
        if is_end:
            epoch = -(-step // epoch_steps)
            images["single"] += holdout + 10_000 * (every > 0 and epoch % every == 0)
    assert sum(each.num_steps for each in found.steps) == steps
    assert found.images == images
    assert found.num_checkpoints == checkpoints


def test_crops_that_grow_are_counted_by_their_size() -> None:
    grow = "data.crop.grow={from_size: 128, begin: 4, end: 12}"
    found = of("imagenet_r50", grow, data=IMAGENET_FACTS)
    sides = [each.side for each in found.steps]
    assert sides == sorted(sides)
    assert sides[0] == 128
    whole = of("imagenet_r50", "data.crop.grow=null", data=IMAGENET_FACTS)
    assert sum(each.num_steps for each in found.steps) == whole.steps[0].num_steps
    per_pixel = {each.flops / each.side**2 for each in found.steps}
    assert max(per_pixel) == pytest.approx(min(per_pixel))
    assert whole.steps[0].flops == pytest.approx(whole.flops * (whole.steps[0].side / 256) ** 2)
    half = of("imagenet_r50", grow, data=IMAGENET_FACTS, epochs_done=8)
    assert sum(each.num_steps for each in half.steps) * 2 == whole.steps[0].num_steps
    assert half.steps[0].side > 128
    over = of("imagenet_r50", grow, data=IMAGENET_FACTS, epochs_done=16)
    assert [(each.side, each.num_steps) for each in over.steps] == [(192, 0)]
    assert sum(over.images.values()) > 0  # which are to be timed all the same
    assert [each.side for each in wanted_probes([over])] == [192]


@pytest.mark.parametrize(
    ("override", "is_same"),
    [
        ("model.depth=56", True),
        ("seed=3", True),
        ("train.lr=0.2", True),
        ("train.epochs=3", True),
        ("resources.checkpoint_every_steps=9", True),
        ("model.shortcut=none", False),
        ("train.precision=bf16", False),
        ("train.global_batch_size=256", False),
        ("train.ema={decay: 0.9}", False),
        ("data.augment.flip=false", False),
        ("evaluate.protocols=[single,ten-crop]", False),
        ("resources.workers=2", False),
    ],
)
def test_a_group_costs_alike_but_for_the_arithmetic_of_an_image(
    override: str, is_same: bool
) -> None:
    assert (of("cifar10_r20", override).group == of("cifar10_r20").group) is is_same


def test_basic_blocks_and_bottlenecks_are_two_groups() -> None:
    groups = {
        depth: of("imagenet_r50_paper", f"model.depth={depth}", data=IMAGENET_FACTS).group
        for depth in (18, 34, 50, 101)
    }
    assert groups[18] == groups[34] != groups[50] == groups[101]
