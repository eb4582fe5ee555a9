"""Trainings side by side in threads of one process, and what they have to take turns at."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

GENERATOR = threading.Lock()
"""Held by who draws from torch's generator, or reads or sets its state: a process has one."""
ALONE_DEADLINE_S = 60.0
"""For the others to come to the end of a step."""


class _Turns:
    """Lets a thread be alone: the others wait between two of their steps.

    While a graph is captured no other thread may make CUDA load a kernel, allocate memory or wait,
    which any step may do.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_inside = 0
        self._num_wanting = 0
        self._is_taken = False

    def enter(self) -> None:
        """Begin to compute."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_taken)
            self._num_inside += 1

    def leave(self) -> None:
        """Compute no more."""
        with self._changed:
            self._num_inside -= 1
            self._changed.notify_all()

    def give_way(self) -> None:
        """Between two steps: wait while another thread is alone, or wants to be."""
        if not (self._num_wanting or self._is_taken):  # read without the lock: the next step sees
            return
        with self._changed:
            self._num_inside -= 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._num_wanting or self._is_taken))
            self._num_inside += 1

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Meanwhile no other thread computes; false where one did not end its step in time."""
        with self._changed:
            self._num_inside -= 1
            self._num_wanting += 1
            self._changed.notify_all()
            is_alone = self._changed.wait_for(
                lambda: self._num_inside <= 0 and not self._is_taken, ALONE_DEADLINE_S
            )
            self._num_wanting -= 1
            self._is_taken = self._is_taken or is_alone
            self._num_inside += not is_alone
            self._changed.notify_all()
        try:
            yield is_alone
        finally:
            if is_alone:
                with self._changed:
                    self._is_taken = False
                    self._num_inside += 1
                    self._changed.notify_all()


TURNS = _Turns()


class Lane:
    """Where a thread trains: on a stream of its own, by which threads share a GPU.

    It may be entered again and again, by one thread at a time.

    Args:
        device: where it computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if device.type == "cuda":
            self._stream = torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]

    def __enter__(self) -> None:
        TURNS.enter()
        self._stream.__enter__()

    def __exit__(self, *error: object) -> None:
        self._stream.__exit__(*error)  # type: ignore[arg-type]
        TURNS.leave()
