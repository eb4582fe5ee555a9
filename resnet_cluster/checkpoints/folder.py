"""Checkpoints of a run: whole or absent on the disk, and believed only after their hash agrees.

    <run>/checkpoints/step-000000390/state.pt           tensors and plain values, torch's zip format
    <run>/checkpoints/step-000000390/checkpoint.json    step, size and SHA-256 of state.pt

The folder is written under another name, fsynced and renamed, so that one with its final name was
written to its end. Ray is given metrics only; it never sees these.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cluster.checkpoints.tensors import read_tensors, write_tensors
from resnet_cluster.errors import IntegrityError
from resnet_cluster.files import sha256_of, sync, write_whole

SCHEMA_VERSION = 2
NUM_KEPT = 2
"""Checkpoints that stay: the newest, and one to fall back on."""

_NAME = re.compile(r"step-(\d{9})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on the disk whose content has been verified."""

    step: int
    path: Path


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        run_dir: the run's folder; `checkpoints/` is made in it by the first save.
    """

    def __init__(self, run_dir: Path) -> None:
        self.folder = run_dir / "checkpoints"

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint and remove those no longer kept; one process calls it.

        Args:
            step: optimiser steps done.
            state: nested dicts and lists of tensors, numbers and strings.

        Raises:
            OSError: the storage is full or cannot be written; earlier checkpoints are untouched.
        """
        final = self._path(step)
        part = self.folder / f".{final.name}.part"
        self._sweep()
        part.mkdir(parents=True)
        try:
            _write(part, step, state)
            self._remove(step)
            part.rename(final)
            sync(self.folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._drop_all_but_newest(step)
        return final

    def newest_valid(self) -> Checkpoint | None:
        """The newest checkpoint that is what was written; damaged ones are passed over, and named.

        Returns None where there is none at all.

        Raises:
            IntegrityError: there are checkpoints, and every one is damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            path = self._path(step)
            if fault := _fault(path, step):
                _log.warning("checkpoint %s is passed over: %s", path, fault)
                continue
            return Checkpoint(step=step, path=path)
        if steps:
            raise IntegrityError(
                f"{self.folder}: all {len(steps)} checkpoints are damaged",
                mend="restore one of them, or start anew with `submit --rerun`",
            )
        return None

    def load(self, step: int) -> dict[str, Any]:
        """The state of a checkpoint, on the CPU; no code in the file is run.

        Raises:
            IntegrityError: the file is not what was written.
        """
        path = self._path(step)
        if fault := _fault(path, step):
            raise IntegrityError(f"{path}: {fault}", mend="restore it or remove it")
        return read_tensors(path / "state.pt")

    def steps(self) -> list[int]:
        """Steps of the checkpoints there are, valid or not, rising."""
        matches = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*"))
        return sorted(int(match[1]) for match in matches if match)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}"

    def _sweep(self) -> None:
        for part in self.folder.glob(".step-*.part"):
            shutil.rmtree(part, ignore_errors=True)

    def _drop_all_but_newest(self, newest: int) -> None:
        # Later steps than the newest were passed over as damaged: they must not count as kept.
        kept = [step for step in self.steps() if step <= newest][-NUM_KEPT:]
        for step in set(self.steps()) - set(kept):
            self._remove(step)

    def _remove(self, step: int) -> None:
        """Remove a checkpoint, if it is there: under another name, lest a half of it look whole."""
        path = self._path(step)
        condemned = self.folder / f".{path.name}.old.part"
        with contextlib.suppress(FileNotFoundError):
            path.rename(condemned)
        shutil.rmtree(condemned, ignore_errors=True)


def _write(part: Path, step: int, state: dict[str, Any]) -> None:
    file = part / "state.pt"
    write_tensors(file, state)
    sync(file)
    facts = {
        "schema_version": SCHEMA_VERSION,
        "step": step,
        "num_bytes": file.stat().st_size,
        "sha256": sha256_of(file),
    }
    write_whole(part / "checkpoint.json", json.dumps(facts, indent=1).encode())


def _fault(path: Path, step: int) -> str:
    """What is wrong with the folder of a step's checkpoint; empty where nothing is."""
    try:
        facts = json.loads((path / "checkpoint.json").read_bytes())
        if facts["schema_version"] != SCHEMA_VERSION:
            return f"schema_version {facts['schema_version']} is not {SCHEMA_VERSION}"
        if facts["step"] != step:
            return f"it was written as step {facts['step']}"
        file = path / "state.pt"
        if file.stat().st_size != facts["num_bytes"]:
            return f"state.pt has {file.stat().st_size} bytes, not {facts['num_bytes']}"
        if sha256_of(file) != facts["sha256"]:
            return "the SHA-256 of state.pt differs"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"unreadable ({type(error).__name__}: {error})"
    return ""
