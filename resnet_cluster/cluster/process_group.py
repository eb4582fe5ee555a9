"""The workers' process group: NCCL where they have GPUs, else Gloo.

Ray Train's own TorchConfig does the same, and makes its controller import torch, for three seconds
in which no worker starts. Here the workers alone import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig

JOIN_DEADLINE_S = 240.0
"""For all workers to meet, imports included."""
LEAVE_DEADLINE_S = 5.0


@dataclass
class ProcessGroupConfig(BackendConfig):
    """What Ray Train sets up around the workers' function.

    Args:
        timeout_s: longest wait of a rank for the others in one collective.
    """

    timeout_s: int

    @property
    def backend_cls(self) -> type[Backend]:
        """Who sets it up."""
        return ProcessGroupBackend


class ProcessGroupBackend(Backend):
    """Lets the workers meet at the first one's address, and part."""

    share_cuda_visible_devices = True  # NCCL reaches a neighbour's GPU only where it sees it

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Join all workers; returns when each has met the others."""
        assert isinstance(backend_config, ProcessGroupConfig)
        has_gpus = worker_group.get_resources_per_worker().get("GPU", 0) > 0
        address, port = worker_group.execute_single(0, get_address_and_port)
        host = f"[{address}]" if ":" in address else address
        joining = [
            worker_group.execute_single_async(
                rank,
                _join,
                backend="nccl" if has_gpus else "gloo",
                url=f"tcp://{host}:{port}",
                world_rank=rank,
                world_size=len(worker_group),
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(joining, timeout=JOIN_DEADLINE_S)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Part; a worker that waits for one that is gone is not waited for."""
        ray.wait(
            worker_group.execute_async(_leave),
            num_returns=len(worker_group),
            timeout=LEAVE_DEADLINE_S,
        )


def _join(backend: str, url: str, world_rank: int, world_size: int, timeout_s: int) -> None:
    import torch.distributed

    torch.distributed.init_process_group(
        backend, url, rank=world_rank, world_size=world_size, timeout=timedelta(seconds=timeout_s)
    )


def _leave() -> None:
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
