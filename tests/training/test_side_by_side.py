"""Trainings in threads of one process, and steps as CUDA graphs: what comes out is the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from test_engine import (
    GROUP,
    MEAN,
    NUM_GROUPS,
    NUM_STEPS,
    STD,
    assert_close,
    make_batches,
    make_net,
    make_train,
    run_engine,
)
from tiny_jobs import assert_same, figures, final_weights, last_state, make_tiny_job, train

from resnet_cluster.data import Batch, Normalize, PadCropFlip
from resnet_cluster.training import engine as engine_module
from resnet_cluster.training import graphs
from resnet_cluster.training.engine import Engine
from resnet_cluster.training.pixels import Pixels

SEEDS = (0, 1, 2)
CHANGES = {"train.ema": {"decay": 0.5}, "evaluate.norms_every": 1}

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_side_by_side_is_as_alone(few_digits: Path, tmp_path: Path) -> None:
    """Weights, figures and all of the last checkpoint but torch's generator, bit for bit."""
    torch.set_num_threads(1)
    jobs = [make_tiny_job(CHANGES | {"seed": seed}) for seed in SEEDS]

    def train_one(seed: int) -> list[dict[str, object]]:
        torch.set_num_threads(1)
        _, journal = train(jobs[seed], few_digits, tmp_path / f"packed-{seed}")
        return [figures(epoch) for epoch in journal.epochs]

    with ThreadPoolExecutor(len(SEEDS)) as threads:
        packed = list(threads.map(train_one, SEEDS))
    for seed, job in zip(SEEDS, jobs, strict=True):
        _, journal = train(job, few_digits, tmp_path / f"alone-{seed}")
        assert packed[seed] == [figures(epoch) for epoch in journal.epochs]
        alone, beside = (
            last_state(tmp_path / f"{how}-{seed}")["shared"] for how in ("alone", "packed")
        )
        assert_same(beside, alone)
        assert_same(
            final_weights(tmp_path / f"packed-{seed}"), final_weights(tmp_path / f"alone-{seed}")
        )
    assert packed[0] != packed[1]


def test_steps_before_the_capture_are_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate that is a tensor by then, as a graph reads it."""
    train = make_train(precision="off", ema={"decay": 0.5})
    expected = run_engine(train)
    monkeypatch.setattr(engine_module, "can_be_captured", lambda *args, **more: True)
    monkeypatch.setattr(graphs, "WARM_UP", 100)
    engine = run_engine(train)
    assert engine._graphed is not None
    assert set(engine._graphed._num_seen.values()) == {NUM_STEPS}
    assert_close(engine.net, expected.net)
    assert_same(engine.addends[0], expected.addends[0])


def run_on_gpu(precision: str) -> Engine:
    """Eight steps, at rates that float32 holds exactly: a graph reads them as such."""
    train = make_train(precision=precision, ema={"decay": 0.5}, nesterov=True)
    gpu = torch.device("cuda", 0)
    normalize = Normalize(MEAN, STD, channels_last=train.channels_last, device=gpu)
    engine = Engine(
        make_net(train).to(gpu),
        train,
        Pixels(normalize=normalize, normalize_any=normalize, augment=PadCropFlip(2, True, 0)),
        world_rank=0,
        world_size=1,
        micro_batches=range(NUM_GROUPS),
    )
    for number, lr in enumerate((0.125, 0.0625, 0.25, 0.125, 0.0625, 0.25, 0.125, 0.5)):
        batches = [
            Batch(batch.images.to(gpu), batch.labels.to(gpu), batch.sample_ids + number * GROUP)
            for batch in make_batches()[number % 4]
        ]
        engine.step(batches, epoch=number, lr=lr)
    return engine


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["off", "bf16"])
def test_a_graph_takes_the_steps_that_kernels_take(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three launched steps and five replayed ones are eight launched ones, bit for bit."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    graphed = run_on_gpu(precision)
    assert graphed._graphed is not None
    assert len(graphed._graphed._captured) == 1
    monkeypatch.setattr(engine_module, "can_be_captured", lambda *args, **more: False)
    launched = run_on_gpu(precision)
    assert launched._graphed is None
    assert_same(graphed.shared_state(), launched.shared_state())
    assert_same(graphed.addends, launched.addends)


@pytest.mark.gpu
@needs_gpu
def test_side_by_side_on_a_gpu_is_as_alone_but_for_rounding(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three trainings that capture their graphs at once; kernels may be chosen differently."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    device = torch.device("cuda", 0)
    jobs = [make_tiny_job(CHANGES | {"seed": seed, "train.lr": 0.01}) for seed in SEEDS]

    def losses(seed: int, folder: str) -> list[float]:
        _, journal = train(jobs[seed], few_digits, tmp_path / f"{folder}-{seed}", device=device)
        return [epoch.train.loss for epoch in journal.epochs]

    with ThreadPoolExecutor(len(SEEDS)) as threads:
        packed = list(threads.map(lambda seed: losses(seed, "packed"), SEEDS))
    assert jobs[0].train.iterations > graphs.WARM_UP + 1
    for seed in SEEDS:
        assert packed[seed] == pytest.approx(losses(seed, "alone"), rel=1e-3)
