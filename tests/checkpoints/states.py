"""States to save, and processes that come to harm while they save them."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_cluster.checkpoints import CheckpointFolder, save_weights


def make_state(step: int, *, num_values: int = 1000) -> dict[str, Any]:
    """A state whose tensors tell its step."""
    return {
        "shared": {
            "weight": torch.full((num_values,), float(step)),
            "channels_last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
            "rate": {"warming_up": False, "best": float("inf"), "drops": step},
            "best": None,
        },
        "ranks": [{"addends": [torch.tensor([float(step)]).double()], "random": {}}],
    }


def save_and_die(rank: int, world_size: int, folder: Path, *, step: int, at_call: int) -> None:
    """Save a checkpoint and be killed by the `at_call`th call that makes something durable.

    Ends well where saving takes fewer of them.
    """
    calls = 0

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **keywords: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at_call:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **keywords)

        return counted

    for name in ("fsync", "rename", "replace", "mkdir", "rmdir", "unlink", "utime"):
        setattr(os, name, deadly(getattr(os, name)))
    CheckpointFolder(folder).save(step, make_state(step))


def save_for_ever(rank: int, world_size: int, folder: Path, *, first_step: int) -> None:
    """Save one checkpoint after another."""
    step = first_step
    while True:
        CheckpointFolder(folder).save(step, make_state(step, num_values=200_000))
        step += 1


def save_within(rank: int, world_size: int, folder: Path, *, num_bytes: int, step: int) -> None:
    """Save where no file may have more bytes: it must be refused as a full disk would refuse it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    savings: tuple[Callable[[], object], ...] = (
        lambda: CheckpointFolder(folder).save(step, make_state(step)),
        lambda: save_weights(folder / "weights.pt", make_state(step)["shared"]),
    )
    for save in savings:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            save()
