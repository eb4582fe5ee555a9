"""Probes of real trainings: what they time, and that nothing is trained meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import RankServer
from tiny_jobs import make_photo_job, make_tiny_job, train

from resnet_cluster.data import EvalLoader, load_manifest
from resnet_cluster.planning import DataFacts, plan, workload
from resnet_cluster.spec import protocols
from resnet_cluster.training import LocalContext
from resnet_cluster.training.engine import Engine
from resnet_cluster.training.keeper import Keeper
from resnet_cluster.training.probe import Prober

PROTOCOLS = {"evaluate.protocols": ["single", "flip", "ten-crop"]}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Steps, checkpoints and measured images of this process, as they really happen."""
    counts: Counter[str] = Counter()
    step, save, batches_of = Engine.step, Keeper.save, EvalLoader.batches

    def counting_step(self: Engine, batches: Any, **options: Any) -> None:
        own = list(batches)
        counts["steps"] += 1
        counts["trained"] += sum(len(batch.labels) for batch in own)
        counts[f"lr {options['lr']}"] += 1
        step(self, own, **options)

    def counting_save(self: Keeper, state: Any) -> None:
        counts["checkpoints"] += 1
        save(self, state)

    def counting_batches(self: EvalLoader, *options: Any) -> Any:
        counts["measured"] += self.num_images
        return batches_of(self, *options)

    monkeypatch.setattr(Engine, "step", counting_step)
    monkeypatch.setattr(Keeper, "save", counting_save)
    monkeypatch.setattr(EvalLoader, "batches", counting_batches)
    return counts


@pytest.mark.parametrize("holdout", [0, 40])
def test_a_real_training_does_what_was_counted(
    holdout: int, few_digits: Path, tmp_path: Path, counted: Counter[str]
) -> None:
    job = make_tiny_job(
        PROTOCOLS
        | {
            "data.holdout": holdout,
            "evaluate.observe_every": 2,
            "resources.checkpoint_every_steps": 3,
        }
    )
    facts = DataFacts.of(load_manifest(str(few_digits)))
    expected = workload(job, plan(job, facts), facts)
    train(job, few_digits, tmp_path, checkpoint_every_steps=3)
    assert counted["steps"] == sum(each.num_steps for each in expected.steps) == 8
    assert counted["checkpoints"] == expected.num_checkpoints
    assert counted["measured"] == sum(expected.images.values())


def test_what_is_timed(few_digits: Path, tmp_path: Path, counted: Counter[str]) -> None:
    job = make_tiny_job(PROTOCOLS)
    context = LocalContext(run_dir=tmp_path)
    prober = Prober(job, load_manifest(str(few_digits)), context)
    assert counted["steps"] == 1
    before = counted["steps"]
    net = prober._loop.engine.net
    weights = [parameter.detach().clone() for parameter in net.parameters()]
    speed = prober.measure(seconds=0.3)
    prober.close()
    assert all(map(torch.equal, weights, net.parameters()))
    assert counted["steps"] > before + 1
    assert counted["trained"] == counted["steps"] * 16  # two micro-batches of eight, not of five
    assert counted["lr 0.0"] == counted["steps"]
    assert counted["checkpoints"] == 1
    assert set(speed.image_s) == {each.identity for each in protocols(job, 8)}
    assert len(speed.image_s) == 3
    assert min(speed.step_s, speed.checkpoint_s, *speed.image_s.values()) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_step_of_many_micro_batches_is_told_from_two(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prober = Prober(make_tiny_job(), load_manifest(str(few_digits)), LocalContext(run_dir=tmp_path))
    monkeypatch.setattr(prober, "_time_steps", lambda seconds: 2.0)
    assert prober.measure(seconds=0.01).step_s == pytest.approx(2.0 * 5 / 2)
    prober.close()


def test_crops_have_the_size_that_is_asked_for(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    step = Engine.step

    def seeing(self: Engine, batches: Any, **options: Any) -> None:
        own = list(batches)
        seen.update(tuple(batch.images.shape[-2:]) for batch in own)
        step(self, own, **options)

    monkeypatch.setattr(Engine, "step", seeing)
    crop = {
        "kind": "random_resized",
        "size": 64,
        "grow": {"from_size": 32, "begin": 0, "end": 4},
    }
    job = make_photo_job({"data.crop": crop})
    context = LocalContext(run_dir=tmp_path, loader_threads=1)
    prober = Prober(job, load_manifest(str(photos)), context, side=32)
    prober.close()
    assert seen == {(32, 32)}


def test_ranks_take_as_many_steps_as_the_first_says(
    server: RankServer, few_digits: Path, tmp_path: Path
) -> None:
    job = make_tiny_job({"resources.workers": 2})
    server.run(
        "rank_functions:probe",
        tmp_path,
        world_size=2,
        job=job.model_dump_json(),
        dataset=str(few_digits),
    )
    found = [json.loads((tmp_path / f"speed-{rank}.json").read_text()) for rank in range(2)]
    assert found[0]["steps"] == found[1]["steps"] > 2
    assert all(each["step_s"] > 0 for each in found)
