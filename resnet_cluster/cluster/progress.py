"""Where a training is, passed from its first worker to whoever watches: lossy, never stored."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import ray

from resnet_cluster.cluster.board import Board

if TYPE_CHECKING:
    from resnet_cluster.training import Progress

NAMESPACE = "resnet-cluster"


class ProgressBoard:
    """A handle to the actor; it may be sent to workers.

    Args:
        actor: the actor's handle.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._asked: Any = None

    def post(self, progress: Progress) -> None:
        """Say where the training is, and do not wait for an answer."""
        self.post_values(asdict(progress))

    def poll(self) -> Progress | None:
        """The latest progress where an answer is there, else None; never waits."""
        from resnet_cluster.training import Progress  # and torch, which a task must not import

        latest = self.poll_values()
        return Progress(**latest) if latest else None

    def post_values(self, values: dict[str, Any]) -> None:
        """Say something else than where a training is."""
        self._actor.post.remote(values)

    def poll_values(self) -> dict[str, Any] | None:
        """The latest of those where an answer is there, else None; never waits."""
        if self._asked is None:
            self._asked = self._actor.latest.remote()
        ready, _ = ray.wait([self._asked], timeout=0)
        if not ready:
            return None
        asked, self._asked = self._asked, None
        with contextlib.suppress(ray.exceptions.RayError):
            latest: dict[str, Any] | None = ray.get(asked)
            return latest
        return None


def start_board(run_id: str) -> ProgressBoard:
    """A new board for a run, on the cluster that this process is connected to."""
    actor = ray.remote(Board).options(name=f"progress-{run_id}", namespace=NAMESPACE, num_cpus=0)
    return ProgressBoard(actor.remote())
