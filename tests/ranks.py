"""Real processes for tests that need several ranks, or one to kill.

    with RankServer() as server:
        group = server.start("rank_functions:train", folder, world_size=3, job=...)
        group.kill()  # or
        assert group.wait() == [0, 0, 0]

A rank needs torch, whose import takes seconds, so one process imports it and forks the ranks. It
has a single thread and has computed nothing, which is what makes forking it safe. Run as a
program, this file is that process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).resolve().parent
DEADLINE_S = 90.0
"""A rank that takes longer writes where it stands to its log, and ends."""


class RankServer:
    """Starts groups of ranks; close it to end those still under way."""

    def __init__(self) -> None:
        rooms = ("checkpoints", "evaluation", "training")
        folders = [str(TESTS), *(str(TESTS / room) for room in rooms)]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(TESTS / "ranks.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def start(self, function: str, folder: Path, *, world_size: int, **arguments: Any) -> Group:
        """Start ranks that each call `module:function(rank, world_size, folder, **arguments)`.

        They are joined by gloo where there are several. Their output goes to `folder`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        request = {
            "function": function,
            "folder": str(folder),
            "world_size": world_size,
            "arguments": arguments,
        }
        return Group(self, self.ask({"start": request}), folder)

    def run(self, function: str, folder: Path, *, world_size: int, **arguments: Any) -> None:
        """Start ranks and wait until they have ended well."""
        self.start(function, folder, world_size=world_size, **arguments).finish()

    def ask(self, message: dict[str, Any]) -> list[int]:
        """Send a message and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(message), file=self._process.stdin, flush=True)
        answer: list[int] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the server and whatever it still runs."""
        if self._process.returncode is None:
            self._process.communicate(timeout=30)
            assert self._process.returncode == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Group:
    """Ranks under way, in one process group."""

    server: RankServer
    pids: list[int]
    folder: Path

    def kill(self) -> None:
        """End all of them as a lost machine does."""
        os.killpg(self.pids[0], signal.SIGKILL)

    def wait(self) -> list[int]:
        """Exit codes of the ranks, in their order; -9 for one that was killed."""
        return self.server.ask({"wait": self.pids})

    def finish(self) -> None:
        """Wait until all have ended well."""
        codes = self.wait()
        logs = "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))
        assert not any(codes), f"{codes}\n{logs}"


@functools.cache
def shared_server() -> RankServer:
    """The one server of a test session."""
    return RankServer()


def _serve() -> None:
    groups: set[int] = set()
    with _no_survivors(groups):
        for line in sys.stdin:
            message = json.loads(line)
            if "start" in message:
                answer = _start(message["start"])
                groups.add(answer[0])
            else:
                answer = [_exit_code(pid) for pid in message["wait"]]
                groups.discard(message["wait"][0])
            print(json.dumps(answer), flush=True)


@contextlib.contextmanager
def _no_survivors(groups: set[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _start(request: dict[str, Any]) -> list[int]:
    store = Path(request["folder"], f"store-{os.urandom(4).hex()}")
    pids: list[int] = []
    for rank in range(request["world_size"]):
        pid = os.fork()
        if pid == 0:
            _be_rank(rank, request, store)
        pids.append(pid)
        os.setpgid(pid, pids[0])
    return pids


def _be_rank(rank: int, request: dict[str, Any], store: Path) -> None:
    """What a forked process does; never returns."""
    try:
        folder = Path(request["folder"])
        with (folder / f"rank-{rank}.log").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        faulthandler.dump_traceback_later(DEADLINE_S, exit=True)
        _join(rank, request["world_size"], store)
        module, _, name = request["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        function(rank, request["world_size"], folder, **request["arguments"])
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _join(rank: int, world_size: int, store: Path) -> None:
    import torch.distributed as dist

    if world_size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=world_size
        )


if __name__ == "__main__":
    importlib.import_module("resnet_cluster.training")  # what every rank would import
    _serve()
