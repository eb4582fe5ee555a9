"""Checkpoints on a disk that fails, and in processes that die."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranks import RankServer
from states import make_state

from resnet_cluster.checkpoints import CheckpointFolder
from resnet_cluster.errors import IntegrityError


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    """Checkpoints of steps 10 and 20."""
    folder = CheckpointFolder(tmp_path)
    for step in (10, 20):
        folder.save(step, make_state(step))
    return folder


def holds(folder: CheckpointFolder, step: int) -> bool:
    """Whether the newest valid checkpoint is that step's and holds what was saved."""
    newest = folder.newest_valid()
    assert newest is not None
    weight = folder.load(newest.step)["shared"]["weight"]
    return newest.step == step and bool((weight == step).all())


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path).newest_valid() is None


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    folder, state = CheckpointFolder(tmp_path), make_state(7)
    path = folder.save(7, state)
    assert path == tmp_path / "checkpoints" / "step-000000007"
    loaded = folder.load(7)
    for name in ("weight", "channels_last"):
        assert torch.equal(loaded["shared"][name], state["shared"][name])
        assert loaded["shared"][name].stride() == state["shared"][name].stride()
    assert loaded["shared"]["rate"] == state["shared"]["rate"]
    assert loaded["ranks"][0]["addends"][0].dtype == torch.float64


def test_two_are_kept(folder: CheckpointFolder) -> None:
    folder.save(30, make_state(30))
    assert folder.steps() == [20, 30]
    assert holds(folder, 30)


def test_state_is_what_its_facts_say(folder: CheckpointFolder) -> None:
    """The hash and the size in the JSON are those that other tools compute."""
    path = folder.folder / "step-000000020"
    facts = json.loads((path / "checkpoint.json").read_text())
    content = (path / "state.pt").read_bytes()
    assert facts == {
        "schema_version": 2,
        "step": 20,
        "num_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def change_facts(path: Path, **changes: Any) -> None:
    """Edit a checkpoint's JSON."""
    file = path / "checkpoint.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def flip_bit(file: Path, place: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(file.read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated state": lambda path: os.truncate(path / "state.pt", 1000),
    "empty state": lambda path: os.truncate(path / "state.pt", 0),
    "longer state": lambda path: (path / "state.pt").open("ab").write(b"\0"),
    "flipped bit": lambda path: flip_bit(path / "state.pt", 12345),
    "missing state": lambda path: (path / "state.pt").unlink(),
    "missing facts": lambda path: (path / "checkpoint.json").unlink(),
    "empty facts": lambda path: os.truncate(path / "checkpoint.json", 0),
    "truncated facts": lambda path: os.truncate(path / "checkpoint.json", 40),
    "facts that are a list": lambda path: (path / "checkpoint.json").write_text("[]"),
    "facts of bytes": lambda path: (path / "checkpoint.json").write_bytes(b"\xff\xfe\0"),
    "facts without a hash": lambda path: (path / "checkpoint.json").write_text(
        '{"schema_version": 2, "step": 20, "num_bytes": 1}'
    ),
    "later schema": lambda path: change_facts(path, schema_version=3),
    "another step": lambda path: change_facts(path, step=19),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_checkpoint_is_passed_over_and_named(
    folder: CheckpointFolder, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    newest, older = (folder.folder / f"step-{step:09d}" for step in (20, 10))
    damage(newest)
    with caplog.at_level(logging.WARNING):
        assert holds(folder, 10)
    assert [str(newest) in message for message in caplog.messages] == [True]
    with pytest.raises(IntegrityError, match="step-000000020"):
        folder.load(20)

    damage(older)
    with pytest.raises(IntegrityError, match="all 2 checkpoints are damaged") as raised:
        folder.newest_valid()
    assert raised.value.exit_code == 5
    assert str(folder.folder) in raised.value.message
    assert raised.value.mend


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2**20))
def test_any_flipped_bit_is_seen(folder: CheckpointFolder, place: int) -> None:
    file = folder.folder / "step-000000020" / "state.pt"
    flip_bit(file, place)
    assert holds(folder, 10)
    flip_bit(file, place)
    assert holds(folder, 20)


def test_damaged_checkpoint_does_not_count_as_kept(folder: CheckpointFolder) -> None:
    """Gone on from step 10, step 15 is the newest; with the damaged 20, one would be left."""
    flip_bit(folder.folder / "step-000000020" / "state.pt", 99)
    folder.save(15, make_state(15))
    assert folder.steps() == [10, 15]
    assert holds(folder, 15)


def test_step_is_saved_again(folder: CheckpointFolder) -> None:
    """Where the newest is damaged, its steps are taken again."""
    flip_bit(folder.folder / "step-000000020" / "state.pt", 99)
    folder.save(20, make_state(20))
    assert holds(folder, 20)


class Intruder:
    """An object whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_code_in_a_state_is_not_run(folder: CheckpointFolder, tmp_path: Path) -> None:
    """Even where the JSON vouches for it: whoever writes one file writes the other."""
    path, made = folder.folder / "step-000000020", tmp_path / "made"
    torch.save({"shared": Intruder(made)}, path / "state.pt")
    content = (path / "state.pt").read_bytes()
    change_facts(path, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    torch.load(path / "state.pt", weights_only=False)["shared"].close()
    assert made.exists(), "the intruder would do nothing anyway"
    made.unlink()
    with pytest.raises(IntegrityError, match=r"state\.pt"):
        folder.load(20)
    assert not made.exists()


def test_death_at_any_point_of_saving(server: RankServer, tmp_path: Path) -> None:
    """Killed at each call that makes something durable, a process leaves the old or the new."""
    before = tmp_path / "before"
    for step in (10, 20):
        CheckpointFolder(before).save(step, make_state(step))
    lived, at_call, seen = False, 0, set()
    while not lived:
        at_call += 1
        run_dir = shutil.copytree(before, tmp_path / str(at_call))
        folder = CheckpointFolder(run_dir)
        group = server.start("states:save_and_die", run_dir, world_size=1, step=30, at_call=at_call)
        [code] = group.wait()
        assert code in (0, -9)
        lived = code == 0
        newest = folder.newest_valid()
        assert newest is not None
        assert holds(folder, newest.step)
        assert newest.step in (20, 30)
        seen.add(newest.step)
        for step in folder.steps():  # a folder with its final name is whole
            folder.load(step)
        folder.save(40, make_state(40))  # as the resumed run does
        assert holds(folder, 40)
        assert len(list(folder.folder.iterdir())) == 2, "something was left behind"
    assert at_call > 8, "saving makes fewer calls than it must"
    assert seen == {20, 30}


def test_kills_from_outside_while_saving(server: RankServer, tmp_path: Path) -> None:
    folder, first_step = CheckpointFolder(tmp_path), 1
    for _ in range(4):
        group = server.start("states:save_for_ever", tmp_path, world_size=1, first_step=first_step)
        deadline = time.monotonic() + 30
        while max(folder.steps(), default=0) < first_step + 2:
            assert time.monotonic() < deadline, "nothing is saved"
            time.sleep(0.001)
        group.kill()
        assert group.wait() == [-9]
        newest = folder.newest_valid()
        assert newest is not None
        assert newest.step >= first_step + 1
        assert holds(folder, newest.step)
        first_step = newest.step + 1


@pytest.mark.parametrize("num_bytes", [0, 100, 3000])
def test_file_that_cannot_grow(
    server: RankServer, folder: CheckpointFolder, tmp_path: Path, num_bytes: int
) -> None:
    """Saving is refused with an OSError, and what was there is there."""
    server.run("states:save_within", tmp_path, world_size=1, num_bytes=num_bytes, step=30)
    assert folder.steps() == [10, 20]
    assert holds(folder, 20)
    assert sorted(path.name for path in folder.folder.iterdir()) == [
        "step-000000010",
        "step-000000020",
    ]
    assert not (tmp_path / "weights.pt").exists()
    assert not list(tmp_path.glob(".*.part"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, timeout=10).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True, timeout=10)


def test_full_disk(small_disk: Path) -> None:
    folder = CheckpointFolder(small_disk)
    for step in (10, 20):
        folder.save(step, make_state(step))
    with pytest.raises(OSError, match="No space left on device"):
        folder.save(30, make_state(30, num_values=100_000))
    assert folder.steps() == [10, 20]
    assert holds(folder, 20)
    assert len(list(folder.folder.iterdir())) == 2
    folder.save(30, make_state(30))
    assert holds(folder, 30)
