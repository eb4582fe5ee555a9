"""What is to be run of a sweep: values that go from the command to whatever process drives it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from resnet_cluster.cluster.capacity import Cluster, share_of
from resnet_cluster.cluster.key_claim import key_owner
from resnet_cluster.cluster.limits import NO_LIMITS, Limits
from resnet_cluster.cluster.progress import ProgressBoard
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.files import write_whole
from resnet_cluster.results import AnyRecord, RunRecord
from resnet_cluster.spec import JobSpec, load_resolved

if TYPE_CHECKING:
    from resnet_cluster.training import Progress

ORDER_NAME = "order.json"

TellTrial: TypeAlias = "Callable[[int, Progress | AnyRecord | str], None]"
"""Called with the place of a trial in its sweep, and news of it; -1 is the sweep itself."""

SchedulerName = Literal["none", "asha"]


@dataclass(frozen=True, kw_only=True)
class TrialOrder:
    """A trial that is to be run: a new run, or one that goes on."""

    place: int
    """In the sweep, from 0."""
    job: JobSpec
    dataset_folder: Path
    num_epochs: int
    run_dir: Path
    record: RunRecord | None
    """The first event of a new run."""
    is_rerun: bool = False
    """Whether it is to be run although its experiment has a run."""

    @property
    def actual_run_dir(self) -> Path:
        """The folder of the run that the trial has become: another's, which was begun before."""
        if self.record is None or self.is_rerun or self.run_dir.is_dir():
            return self.run_dir
        owner = key_owner(self.run_dir.parent, self.record.key)
        return self.run_dir.parent / owner if owner else self.run_dir

    def task(
        self,
        cluster: Cluster,
        board: ProgressBoard,
        *,
        trials_per_gpu: int,
        sweep_dir: Path,
        attempt: int,
    ) -> TrialTask:
        """What the trial's process is sent.

        Args:
            cluster: where it will be.
            board: the sweep's.
            trials_per_gpu: trials, or packs of them, that share a GPU.
            sweep_dir: the sweep's folder.
            attempt: at the sweep.
        """
        share = share_of(self.job, cluster, trials_per_gpu)
        return TrialTask(
            run_dir=self.run_dir,
            record=self.record,
            is_rerun=self.is_rerun,
            job=self.job.model_dump(mode="json"),
            dataset_folder=self.dataset_folder,
            num_epochs=self.num_epochs,
            num_cpus=share.num_cpus,
            gpus_per_worker=share.num_gpus,
            cluster=replace(cluster, has_sweep=True),
            board=board.of(self.run_dir.name),
            sweep_dir=sweep_dir,
            sweep_attempt=attempt,
        )


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How the trials are run.

    Attributes:
        trials_per_gpu: trials, or packs of them, that share a GPU.
        pack: seeds of a combination that one process trains side by side.
        retries: more attempts at a trial that failed.
        fail_fast: whether the first failed trial stops the others.
        scheduler: whether trials are stopped early.
        until_significant: whether a combination gets more than two seeds only while a pair that it
            is in is not settled.
        limits: what they may take.
    """

    trials_per_gpu: int = 1
    pack: int = 1
    retries: int = 1
    fail_fast: bool = False
    scheduler: SchedulerName = "none"
    until_significant: bool = False
    limits: Limits = NO_LIMITS


def write_order(sweep_dir: Path, orders: Sequence[TrialOrder], options: SweepOptions) -> None:
    """Leave an order in a sweep's folder, for a driver elsewhere."""
    content = {"options": asdict(options), "trials": [_as_json(order) for order in orders]}
    write_whole(sweep_dir / ORDER_NAME, json.dumps(content).encode())


def read_order(sweep_dir: Path) -> tuple[tuple[TrialOrder, ...], SweepOptions]:
    """The order that was left there."""
    content = json.loads((sweep_dir / ORDER_NAME).read_bytes())
    orders = tuple(_from_json(each) for each in content["trials"])
    limits = Limits(**content["options"].pop("limits"))
    return orders, SweepOptions(**content["options"], limits=limits)


def _as_json(order: TrialOrder) -> dict[str, Any]:
    return {
        "place": order.place,
        "job": order.job.model_dump(mode="json"),
        "dataset_folder": str(order.dataset_folder),
        "num_epochs": order.num_epochs,
        "run_dir": str(order.run_dir),
        "is_rerun": order.is_rerun,
        "record": order.record and json.loads(order.record.model_dump_json()),
    }


def _from_json(content: dict[str, Any]) -> TrialOrder:
    record = content["record"]
    return TrialOrder(
        place=content["place"],
        job=load_resolved(content["job"]),
        dataset_folder=Path(content["dataset_folder"]),
        num_epochs=content["num_epochs"],
        run_dir=Path(content["run_dir"]),
        is_rerun=content["is_rerun"],
        record=None if record is None else RunRecord.model_validate(record, strict=False),
    )
