"""An actor that times a few steps of one job after the other: one rank of a small crew."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
from ray.train._internal.utils import get_address_and_port

COLLECTIVE_TIMEOUT_S = 120


@dataclass(frozen=True, kw_only=True)
class ProbeTask:
    """A job that is to be timed, as each rank of a crew has to know it."""

    folder: Path
    """For a checkpoint, on the storage of the runs; the code of a user's network is in it."""
    job: dict[str, Any]
    """The resolved job, as JSON."""
    dataset_folder: Path
    side: int
    """Height and width of the training images, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Seat:
    """Where a rank is."""

    node: str
    address: str
    port: int
    """A free one."""
    gpus: tuple[str, ...]


class ProbeWorker:
    """One rank; it imports torch when it has its place.

    Args:
        num_cpus: its CPU cores.
        num_copies: of each job that it times side by side, as a pack is trained.
    """

    def __init__(self, num_cpus: int, num_copies: int = 1) -> None:
        self._num_cpus = max(1, num_cpus // num_copies)
        self._probers: list[Any] = []
        self._threads = ThreadPoolExecutor(num_copies, initializer=self._begin_thread)
        self._num_copies = num_copies

    def seat(self) -> Seat:
        """Where Ray has put this rank."""
        context = ray.get_runtime_context()
        address, port = get_address_and_port()
        gpus = tuple(context.get_accelerator_ids().get("GPU", ()))
        return Seat(node=context.get_node_id(), address=address, port=port, gpus=gpus)

    def join(self, rank: int, seats: Sequence[Seat]) -> str:
        """Meet the other ranks of the crew; returns the name of the device."""
        own = seats[rank]
        self._rank, self._world_size = rank, len(seats)
        self._local_ranks = [place for place, seat in enumerate(seats) if seat.node == own.node]
        if own.gpus and len(seats) > 1:  # NCCL reaches a neighbour's GPU only where it sees it
            visible = [gpu for place in self._local_ranks for gpu in seats[place].gpus]
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible)
        import torch

        from resnet_cluster.cluster.event_context import device_name

        self._device = torch.device("cpu")
        if own.gpus:
            place = self._local_ranks.index(rank) if len(seats) > 1 else 0
            self._device = torch.device("cuda", place)
            torch.cuda.set_device(self._device)
        if len(seats) > 1:
            self._meet(seats[0])
        return device_name(self._device)

    def prepare(self, task: ProbeTask) -> float:
        """Build what the job trains and take its first step; returns the seconds of it."""
        from resnet_cluster.data import load_manifest
        from resnet_cluster.nets import offer_code
        from resnet_cluster.spec import load_resolved
        from resnet_cluster.training import LocalContext
        from resnet_cluster.training.probe import Prober

        began = time.monotonic()
        for prober in self._probers:
            prober.close()
        offer_code(task.folder / "code")
        context = LocalContext(
            run_dir=task.folder,
            world_rank=self._rank,
            world_size=self._world_size,
            local_rank=self._local_ranks.index(self._rank),
            local_world_size=len(self._local_ranks),
            device=self._device,
            loader_threads=self._num_cpus,
        )
        manifest = load_manifest(str(task.dataset_folder))
        job = load_resolved(task.job)

        def build(copy: int) -> Prober:
            own = replace(context, run_dir=task.folder / str(copy))
            return Prober(job, manifest, own, side=task.side)

        self._probers = list(self._threads.map(build, range(self._num_copies)))
        return time.monotonic() - began

    def measure(self) -> dict[str, Any]:
        """The speed of what is prepared."""
        first, *_ = self._threads.map(lambda prober: prober.measure(), self._probers)
        return asdict(first)

    def _begin_thread(self) -> None:
        """What torch keeps for each thread."""
        import torch

        torch.set_num_threads(self._num_cpus)
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)

    def _meet(self, first: Seat) -> None:
        import torch.distributed

        host = f"[{first.address}]" if ":" in first.address else first.address
        torch.distributed.init_process_group(
            "nccl" if self._device.type == "cuda" else "gloo",
            f"tcp://{host}:{first.port}",
            rank=self._rank,
            world_size=self._world_size,
            timeout=timedelta(seconds=COLLECTIVE_TIMEOUT_S),
        )
