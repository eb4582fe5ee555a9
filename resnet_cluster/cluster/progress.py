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
ANSWER_DEADLINE_S = 10.0


class ProgressBoard:
    """A handle to the actor; it may be sent to workers.

    Args:
        actor: the actor's handle.
        key: whose progress is posted: a run's id.
    """

    def __init__(self, actor: Any, key: str) -> None:
        self._actor = actor
        self._key = key
        self._asked: Any = None

    def of(self, key: str) -> ProgressBoard:
        """The same board for another run."""
        return ProgressBoard(self._actor, key)

    def post(self, progress: Progress) -> None:
        """Say where the training is, and do not wait for an answer."""
        self.post_values(asdict(progress))

    def poll(self) -> Progress | None:
        """The latest progress where an answer is there, else None; never waits."""
        return self.poll_all().get(self._key)

    def poll_all(self) -> dict[str, Progress]:
        """The latest progress of each run where an answer is there, else none; never waits."""
        from resnet_cluster.training import Progress  # and torch, which a task must not import

        return {key: Progress(**values) for key, values in self._poll().items()}

    def post_values(self, values: dict[str, Any]) -> None:
        """Say something else than where a training is."""
        self._actor.post.remote(self._key, values)

    def poll_values(self) -> dict[str, Any] | None:
        """The latest of those where an answer is there, else None; never waits."""
        return self._poll().get(self._key)

    def note_group(self, group: str) -> None:
        """Keep the id of a placement group of the run's workers."""
        self._actor.note_group.remote(self._key, group)

    def take_groups(self) -> list[str]:
        """The ids that were kept, once; none where no answer comes."""
        with contextlib.suppress(ray.exceptions.RayError):
            groups: list[str] = ray.get(
                self._actor.take_groups.remote(self._key), timeout=ANSWER_DEADLINE_S
            )
            return groups
        return []

    def _poll(self) -> dict[str, dict[str, Any]]:
        if self._asked is None:
            self._asked = self._actor.latest.remote()
        ready, _ = ray.wait([self._asked], timeout=0)
        if not ready:
            return {}
        asked, self._asked = self._asked, None
        with contextlib.suppress(ray.exceptions.RayError):
            latest: dict[str, dict[str, Any]] = ray.get(asked)
            return latest
        return {}


def start_board(run_id: str) -> ProgressBoard:
    """A new board for a run, or for a sweep's, on the cluster that this process is connected to."""
    actor = ray.remote(Board).options(name=f"progress-{run_id}", namespace=NAMESPACE, num_cpus=0)
    return ProgressBoard(actor.remote(), run_id)
