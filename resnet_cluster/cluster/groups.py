"""Placement groups of Ray Train's workers: given back where nobody else would do it.

Where a controller dies before its farewell, the group that it made keeps its resources for as long
as the cluster's job lasts, and the next trial of a sweep would wait for them. Ray's own cleaner is
a process of 600 MB for each group; a note on the board is enough.
"""

from __future__ import annotations

import contextlib

import ray
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.util.placement_group import PlacementGroup, remove_placement_group

from resnet_cluster.cluster.progress import ProgressBoard


class NotesGroup(WorkerGroupCallback):
    """Notes each worker group's placement group on a board.

    Args:
        board: of the run.
    """

    def __init__(self, board: ProgressBoard) -> None:
        self._board = board

    def after_worker_group_start(self, worker_group: WorkerGroup) -> None:
        """Called by Ray Train's controller."""
        state = worker_group.get_worker_group_state()
        self._board.note_group(state.placement_group_handle.placement_group.id.hex())


def give_back(board: ProgressBoard) -> None:
    """Remove the groups that a run's controllers have noted; one that is gone is no error."""
    for group in board.take_groups():
        with contextlib.suppress(Exception):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group)))
