"""A training that was killed or stopped ends with the same bits as one that was left alone.

On all of scikit-learn's digits, with augmentation, an average of the weights, a plateau, a warm-up
that waits for an error and a selection by the hold-out: whatever a checkpoint has to hold.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from factories import make_job
from ranks import Group, RankServer
from tiny_jobs import assert_same, final_weights, last_state, read_json_lines

from resnet_cluster.checkpoints import CheckpointFolder
from resnet_cluster.files import sha256_of

STEPS_PER_EPOCH, NUM_STEPS = 10, 22
JOB = make_job(
    {
        "model.depth": 8,
        "data.name": "digits",
        "data.augment": {"pad": 1, "flip": True},
        "data.holdout": 638,  # trains on 800 of the 1,438
        "train.global_batch_size": 80,
        "train.bn_group": 16,  # five micro-batches: two and three workers take unequal shares
        "train.iterations": NUM_STEPS,
        "train.lr": 0.05,
        "train.schedule": {"kind": "plateau", "on": "holdout", "patience": 1, "min_delta": 99.0},
        "train.warmup": {"kind": "until_train_error", "lr": 0.02, "below": 100, "window": 4},
        "train.ema": {"decay": 0.8},
        "evaluate.select": "best_holdout",
    }
)
CHECKPOINT_EVERY = 3
APPEARS_WITHIN_S = 60.0

Start = Callable[..., Group]
Undisturbed = Callable[[int], Path]


@pytest.fixture
def start(server: RankServer, digits: Path, tmp_path: Path) -> Start:
    """Start the job in the test's own folder, from wherever it is."""
    return functools.partial(_start, server, digits, tmp_path)


@pytest.fixture(scope="module")
def undisturbed(
    server: RankServer, digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """The folder of a run with so many workers that nothing happened to."""

    @functools.cache
    def finished_run(world_size: int) -> Path:
        folder = tmp_path_factory.mktemp(f"undisturbed-{world_size}")
        _start(server, digits, folder, world_size).finish()
        return folder

    return finished_run


def _start(
    server: RankServer, digits: Path, folder: Path, world_size: int, **arguments: Any
) -> Group:
    return server.start(
        "rank_functions:train",
        folder,
        world_size=world_size,
        job=JOB.model_dump_json(),
        dataset=str(digits),
        checkpoint_every_steps=CHECKPOINT_EVERY,
        **arguments,
    )


def kill_after(group: Group, step: int) -> None:
    """Kill a group from outside when it has left a checkpoint of `step` or later, not waiting."""
    folder = CheckpointFolder(group.folder)
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while max(folder.steps(), default=0) < step:
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.002)
    group.kill()
    codes = group.wait()
    assert set(codes) == {-9}, f"the training had ended before it was killed: {codes}"
    assert not (group.folder / "weights.pt").exists()


def beginnings(folder: Path) -> list[int]:
    """The steps from which a run's processes trained."""
    reports = read_json_lines(folder / "reports-0.jsonl")
    return [report["step"] for report in reports if report["kind"] == "begins"]


def results(folder: Path, rank: int) -> tuple[dict[int, Any], list[Any]]:
    """What a rank reported: results by epoch, and those of the end."""
    reports = read_json_lines(folder / f"reports-{rank}.jsonl")
    epochs: dict[int, Any] = {}
    for report in reports:
        if report["kind"] == "EpochResult":
            by_the_clock = {"train_seconds", "images_per_second"}
            result = {key: value for key, value in report.items() if key not in by_the_clock}
            # A crash between a report and its checkpoint repeats the report, never another one.
            assert epochs.setdefault(report["epoch"], result) == result
    return epochs, [report for report in reports if report["kind"] == "FinalResult"]


def assert_same_runs(one: Path, other: Path, world_size: int) -> None:
    """Weights, all that a checkpoint holds and every reported figure are equal to the last bit."""
    assert_same(final_weights(one), final_weights(other))
    assert sha256_of(one / "weights.pt") == sha256_of(other / "weights.pt")
    state = last_state(one)
    assert_same(state, last_state(other))
    assert len(state["ranks"]) == world_size
    for rank in range(world_size):
        assert results(one, rank) == results(other, rank)
    assert list(results(one, 0)[0]) == [1, 2, 3]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_killed_in_mid_epoch_twice(start: Start, undisturbed: Undisturbed, world_size: int) -> None:
    kill_after(start(world_size), CHECKPOINT_EVERY)
    kill_after(start(world_size), STEPS_PER_EPOCH + 2)
    resumed = start(world_size)
    resumed.finish()
    begun = beginnings(resumed.folder)
    assert begun[0] == 0
    assert begun[1] >= CHECKPOINT_EVERY
    assert begun[2] >= STEPS_PER_EPOCH + 2
    assert_same_runs(resumed.folder, undisturbed(world_size), world_size)


@pytest.mark.parametrize(
    ("world_size", "step"), [(1, 7), (2, 7), (3, 7), (2, STEPS_PER_EPOCH)], ids=str
)
def test_stopped_by_request(
    start: Start, undisturbed: Undisturbed, world_size: int, step: int
) -> None:
    """Asked of one rank, agreed on by all, at a step that is no checkpoint's otherwise."""
    stopped = start(world_size, stop_at=(world_size - 1, step))
    stopped.finish()
    for rank in range(world_size):
        outcome = read_json_lines(stopped.folder / f"reports-{rank}.jsonl")[-1]
        assert outcome == {"kind": "outcome", "state": "CANCELLED", "step": step, "message": ""}
    assert CheckpointFolder(stopped.folder).steps()[-1] == step
    resumed = start(world_size)
    resumed.finish()
    assert_same_runs(resumed.folder, undisturbed(world_size), world_size)


def test_damaged_checkpoint_costs_steps_and_nothing_else(
    start: Start, undisturbed: Undisturbed
) -> None:
    """The newest is passed over by every rank, and the run ends with the same bits."""
    stopped = start(3, stop_at=(0, 7))
    stopped.finish()
    newest = stopped.folder / "checkpoints" / "step-000000007" / "state.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    resumed = start(3)
    resumed.finish()
    assert beginnings(resumed.folder) == [0, 6]
    assert_same_runs(resumed.folder, undisturbed(3), 3)
