"""What an attempt at a sweep uses: counted while it is driven, and told when it may use no more."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnet_cluster.cluster.capacity import Cluster, share_of
from resnet_cluster.cluster.key_claim import key_owner
from resnet_cluster.cluster.packs import packs_of
from resnet_cluster.files import write_whole
from resnet_cluster.results import EventLog, SweepOutcomeRecord, TrialOutcome, load_sweep
from resnet_cluster.spec import JobSpec

if TYPE_CHECKING:
    from resnet_cluster.cluster.sweep_order import SweepOptions, TrialOrder

LOOK_EVERY_S = 5.0
"""Between looks at the disk, and notes of what is used: as old is a killed driver's last one."""
GB = 1e9

_NOTE = "usage-"

Unit = Literal["GPU-hours", "worker-hours"]


def unit_of(jobs: Iterable[JobSpec], cluster: Cluster) -> Unit:
    """What hours are counted in: those of GPUs, where a trial takes one."""
    has_gpu = any(share_of(job, cluster).num_gpus for job in jobs)
    return "GPU-hours" if has_gpu else "worker-hours"


def hours_of(
    job: JobSpec, seconds: float, cluster: Cluster, trials_per_gpu: int, pack: int = 1
) -> float:
    """Hours of its GPUs, or of workers that have none, in so many seconds of a trial.

    Of a pack each trial takes its part.
    """
    share = share_of(job, cluster, trials_per_gpu)
    return seconds * job.resources.workers * (share.num_gpus or 1.0) / pack / 3600


def folder_bytes(folder: Path) -> int:
    """What all files below a folder hold; what vanishes meanwhile holds nothing."""
    total, waiting = 0, [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def sweep_bytes(runs_root: Path, keys: Iterable[str]) -> int:
    """What the runs of these experiments hold."""
    owners = (key_owner(runs_root, key) for key in keys if key)
    return sum(folder_bytes(runs_root / owner) for owner in owners if owner)


def hours_used(sweep_dir: Path) -> float:
    """Hours of all attempts at a sweep that have ended; those of a driver that was killed are those
    of its last note."""
    return sum(outcome.hours for outcome in _outcomes(sweep_dir))


def outcomes_so_far(sweep_dir: Path) -> tuple[SweepOutcomeRecord, ...]:
    """What attempts at a sweep have taken, and the one that goes on until its last note."""
    found = {outcome.attempt: outcome for outcome in _outcomes(sweep_dir)}
    for note in sorted(sweep_dir.glob(f"{_NOTE}*.json")):
        with contextlib.suppress(OSError, ValueError):
            noted = SweepOutcomeRecord.model_validate_json(note.read_bytes(), strict=False)
            found.setdefault(noted.attempt, noted)
    return tuple(found.values())


def _outcomes(sweep_dir: Path) -> Iterator[SweepOutcomeRecord]:
    log = EventLog(sweep_dir)
    names = log.names()
    for note in sorted(sweep_dir.glob(f"{_NOTE}*.json")):
        if f"attempt-{note.stem.removeprefix(_NOTE)}-ended" in names:
            with contextlib.suppress(OSError, ValueError):
                log.record(SweepOutcomeRecord.model_validate_json(note.read_bytes(), strict=False))
                note.unlink()
    sweep = load_sweep(sweep_dir)
    yield from sweep.outcomes if sweep else ()


class Meter:
    """Counts what an attempt at a sweep uses.

    Args:
        sweep_dir: the sweep's folder.
        attempt: at the sweep.
        orders: the trials.
        options: how they are run, and what they may use.
        cluster: where.
    """

    def __init__(
        self,
        sweep_dir: Path,
        attempt: int,
        orders: Sequence[TrialOrder],
        options: SweepOptions,
        cluster: Cluster,
    ) -> None:
        self._sweep_dir, self._attempt = sweep_dir, attempt
        self._orders, self._options, self._cluster = orders, options, cluster
        self._unit = unit_of((order.job for order in orders), cluster)
        packs = packs_of((order.job for order in orders), options.pack)
        self._pack_sizes = {place: len(pack) for pack in packs for place in pack}
        self._before = hours_used(sweep_dir)
        sweep = load_sweep(sweep_dir)
        self._keys = [trial.key for trial in sweep.trials] if sweep else []
        self._began = self._looked = time.monotonic()
        self._held_s: dict[int, float] = {}
        self._sizes: dict[int, tuple[float, int]] = {}
        """Bytes of each trial's folder, and for how long it had held its share then."""

    def look(self, held_s: Mapping[int, float]) -> str:
        """Take in for how long each trial has held its share; says which limit is reached, if one.

        Args:
            held_s: seconds, by the trial's place among the orders.
        """
        self._held_s = dict(held_s)
        limit, used = self._options.limits.max_gpu_hours, self._before + self._hours
        if limit is not None and used >= limit:
            return f"{used:.3g} of {limit:g} {self._unit} are used"
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return ""
        self._looked = time.monotonic()
        with contextlib.suppress(OSError):  # a full disk is the trials' to report
            write_whole(self._note, self._outcome().model_dump_json().encode())
        room = self._options.limits.max_disk_gb
        if room is not None and (held := self._disk_bytes()) >= room * GB:
            return f"{held / GB:.3g} of {room:g} GB of disk are used"
        return ""

    def close(self, *, is_whole: bool = False) -> None:
        """Record what was used.

        Args:
            is_whole: whether all trials have come to their ends.
        """
        outcome = self._outcome().model_copy(update={"is_whole": is_whole})
        EventLog(self._sweep_dir).record(outcome)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self._sweep_dir / f"{_NOTE}{self._attempt:03d}.json"

    @property
    def _hours(self) -> float:
        return sum(map(self._hours_of, self._held_s))

    def _hours_of(self, place: int) -> float:
        job, share = self._orders[place].job, self._options.trials_per_gpu
        return hours_of(job, self._held_s[place], self._cluster, share, self._pack_sizes[place])

    def _bytes_of(self, place: int, run_dir: Path) -> int:
        """What a trial's folder holds; of one that has ended it is looked at once."""
        held_s = self._held_s[place]
        known = self._sizes.get(place)
        if known is None or known[0] != held_s:
            self._sizes[place] = known = (held_s, folder_bytes(run_dir))
        return known[1]

    def _disk_bytes(self) -> int:
        return sweep_bytes(self._sweep_dir.parent, self._keys)

    def _outcome(self) -> SweepOutcomeRecord:
        runs = {place: self._orders[place].actual_run_dir for place in sorted(self._held_s)}
        return SweepOutcomeRecord(
            attempt=self._attempt,
            unit=self._unit,
            seconds=time.monotonic() - self._began,
            hours=self._hours,
            disk_bytes=sum(self._bytes_of(place, run_dir) for place, run_dir in runs.items()),
            trials=tuple(
                TrialOutcome(
                    run_id=run_dir.name,
                    seconds=self._held_s[place],
                    hours=self._hours_of(place),
                )
                for place, run_dir in runs.items()
            ),
        )
