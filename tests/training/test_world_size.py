"""The experiment does not depend on the number of workers.

Shown in double precision: there one, two and three workers agree to the rounding of their sums,
and a mistake in a weight, an order or a count has nowhere to hide. In float32 the same job drifts
apart by a factor of ten every few steps, as any training does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import RankServer
from tiny_jobs import STEPS_PER_EPOCH, final_weights, last_state, make_tiny_job, read_json_lines

from resnet_cluster.spec import JobSpec

TOLERANCE = 1e-11
NUM_STEPS = 2 * STEPS_PER_EPOCH + 2
JOB = make_tiny_job(
    {
        "data.holdout": 0,
        "train.iterations": NUM_STEPS,
        "train.ema": {"decay": 0.7},
        "train.weight_decay": 0.01,
        "train.label_smoothing": 0.1,
        "train.warmup": {"kind": "until_train_error", "lr": 0.01, "below": 100, "window": 3},
        "train.schedule": {"kind": "step", "milestones": [7], "gamma": 0.5},
        "evaluate.observe_every": 1,
    }
)
SEVERAL_BUCKETS = 50_000

Train = Callable[..., Path]


@pytest.fixture(scope="module")
def train(server: RankServer, few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train the job at a world size; the folder of the run."""

    def train_ranks(
        world_size: int, folder: Path | None = None, *, job: JobSpec = JOB, **arguments: Any
    ) -> Path:
        folder = folder or tmp_path_factory.mktemp(f"world-{world_size}")
        server.run(
            "rank_functions:train_in_double",
            folder,
            world_size=world_size,
            job=job.model_dump_json(),
            dataset=str(few_digits),
            bucket_bytes=SEVERAL_BUCKETS,
            **arguments,
        )
        return folder

    return train_ranks


@pytest.fixture(scope="module")
def alone(train: Train) -> Path:
    """The run of one worker."""
    return train(1)


def epochs(folder: Path, rank: int = 0) -> list[dict[str, Any]]:
    """The results of a run's epochs."""
    reports = read_json_lines(folder / f"reports-{rank}.jsonl")
    return [report for report in reports if report["kind"] == "EpochResult"]


def assert_same_experiment(one: Path, other: Path) -> None:
    """Weights, statistics, average and momentum to rounding; counts and errors exactly."""
    expected = final_weights(one)
    assert_close(final_weights(other), expected)
    ours, theirs = last_state(other), last_state(one)
    assert_close(whole_state(ours), whole_state(theirs))
    assert [each["epoch"] for each in epochs(other)] == [each["epoch"] for each in epochs(one)]
    for mine, alones in zip(epochs(other), epochs(one), strict=True):
        assert mine["lr"] == alones["lr"]
        for split in ("train", "observed_test"):
            assert mine[split].pop("loss") == pytest.approx(alones[split].pop("loss"), rel=1e-11)
            assert mine[split] == alones[split]


def whole_state(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What a checkpoint means: shared tensors, and the sums of each rank's addends."""
    tensors = {name: tensor for name, tensor in state["shared"]["net"].items() if "run" not in name}
    for place, average in enumerate(state["shared"]["ema"]):
        tensors[f"ema.{place}"] = average
    for place, momentum in enumerate(itertools.chain(*state["shared"]["momenta"])):
        tensors[f"momentum.{place}"] = momentum
    addends = zip(*(rank["addends"] for rank in state["ranks"]), strict=True)
    for place, parts in enumerate(addends):
        tensors[f"addend.{place}"] = torch.stack(parts).sum(0)
    return tensors


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Floats to the tolerance, relative to each tensor's largest; integers exactly."""
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        if not tensor.is_floating_point():
            assert torch.equal(ours[name], tensor), name
            continue
        assert tensor.dtype == torch.float64, name
        scale = max(1.0, float(tensor.abs().max()))
        assert float((ours[name] - tensor).abs().max()) <= TOLERANCE * scale, name


@pytest.mark.parametrize("world_size", [2, 3])
def test_several_workers_train_as_one(train: Train, alone: Path, world_size: int) -> None:
    folder = train(world_size)
    assert_same_experiment(alone, folder)
    for rank in range(world_size):
        counters = [
            int(count)
            for name, count in last_state(folder)["shared"]["net"].items()
            if "num_batches_tracked" in name
        ]
        assert set(counters) == {5 * NUM_STEPS}
        ranks = epochs(folder, rank)
        assert [each["train"] for each in ranks] == [each["train"] for each in epochs(folder)]


def test_going_on_with_other_numbers_of_workers(train: Train, alone: Path, tmp_path: Path) -> None:
    """Three, then two, then one, cut in mid-epoch and within a window of the warm-up."""
    train(3, tmp_path, stop_at=(2, 2))
    train(2, tmp_path, stop_at=(1, STEPS_PER_EPOCH + 3))
    train(1, tmp_path)
    assert_same_experiment(alone, tmp_path)


def test_more_workers_than_before(train: Train, alone: Path, tmp_path: Path) -> None:
    train(1, tmp_path, stop_at=(0, 4))
    train(3, tmp_path)
    assert_same_experiment(alone, tmp_path)


@pytest.mark.parametrize("factory", ["dropping", "unnormalised"])
def test_networks_of_the_users_train_as_one_too(train: Train, tmp_path: Path, factory: str) -> None:
    """What they draw is that of the micro-batch, whoever computes it, and after a resumption."""
    model = {"family": "custom", "entry": f"own_nets:{factory}"}
    job = JobSpec.model_validate(JOB.model_dump(mode="json") | {"model": model}, strict=False)
    alone = train(1, job=job)
    assert_same_experiment(alone, train(3, job=job))
    train(2, tmp_path, job=job, stop_at=(1, STEPS_PER_EPOCH + 3))
    train(3, tmp_path, job=job)
    assert_same_experiment(alone, tmp_path)


@pytest.mark.parametrize("bucket_bytes", [1, 2000, 1 << 20])
def test_gradients_are_summed(server: RankServer, tmp_path: Path, bucket_bytes: int) -> None:
    """Over three ranks with one, two and three passes, in buckets of any size."""
    server.run("rank_functions:sum_gradients", tmp_path, world_size=3, bucket_bytes=bucket_bytes)
