"""Ray Tune's part of a sweep: trials as Tune sees them, and what it tells of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune import Callback, Stopper
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search import Searcher

from resnet_cluster.cluster.rungs import GRACE_EPOCHS, REDUCTION, Rungs
from resnet_cluster.cluster.sweep_order import SweepOptions
from resnet_cluster.cluster.trial_task import TrialTask

if TYPE_CHECKING:
    from resnet_cluster.cluster.admission import Admission

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our events tell what theirs would
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",  # nothing restores it: the sweep's own plan is kept
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
_DRIVER_SHARE = 0.001
"""Of a node, that the driver of a group of workers takes: Tune wants each trial to take something,
and CPU cores are the workers'."""


Trainable = Callable[[dict[str, Any], list[TrialTask]], None]
"""Called in the process of a trial, or of a pack of them, with their places among the tasks, as
`trials`, and all tasks."""


class TrialWatch(Callback):
    """What Tune's thread tells of the trials, by their places among the tasks."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.has_failed = False
        self.may_end = False
        """Set once a sweep that stops has no trial that runs."""
        self.stopped_early: dict[int, int] = {}
        """The last epoch of each trial that the scheduler has ended."""
        self._touched: set[int] = set()
        self._over: set[int] = set()
        self._held: dict[int, float] = {}
        self._since: dict[int, float] = {}

    def held_s(self) -> dict[int, float]:
        """Seconds for which each trial has had its share of the cluster, all its tries together."""
        now, since = time.monotonic(), dict(self._since)
        places = self._held.keys() | since.keys()
        return {
            place: self._held.get(place, 0.0) + (now - since[place] if place in since else 0.0)
            for place in places
        }

    def begun_and_ended(self) -> set[int]:
        """The trials that have run, and run no more."""
        return self._over - self.running

    def touched(self) -> set[int]:
        """The trials that run, or have ended since this was asked last."""
        ended, self._touched = self._touched, set()
        return ended | set(self.running)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has started a trial."""
        for index in trial.config["trials"]:
            self._let_go(index)  # a try before this one has failed
            self._since[index] = time.monotonic()
            self.running.add(index)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended: by itself, which its last report says, or by the scheduler."""
        last = trial.last_result or {}
        for index in trial.config["trials"]:
            if "state" not in last and not self.may_end:
                self.stopped_early[index] = int(last.get("epoch", 0))
            self._ended(index)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial, or one of a pack, has failed, and is not tried again."""
        self.has_failed = True
        for index in trial.config["trials"]:
            self._ended(index)

    def _ended(self, index: int) -> None:
        self._let_go(index)
        self._touched.add(index)
        self._over.add(index)
        self.running.discard(index)

    def _let_go(self, index: int) -> None:
        if (since := self._since.pop(index, None)) is not None:
            self._held[index] = self._held.get(index, 0.0) + time.monotonic() - since


class _Admitted(Searcher):
    """Asks which trial may begin next, until none may any more."""

    def __init__(self, admission: Admission, watch: TrialWatch) -> None:
        super().__init__()
        self._admission, self._watch = admission, watch

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The place of a trial among the tasks."""
        if self._watch.may_end:
            return str(Searcher.FINISHED)
        is_closed = self._admission.is_closed
        index = self._admission.next()
        if index is not None:
            return {"trials": [index]}
        return str(Searcher.FINISHED) if is_closed else None

    def on_trial_complete(self, *info: Any, **more: Any) -> None:
        """The trials' events tell it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the sweep's own plan is kept."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class _EndOfAll(Stopper):
    """Lets Tune end before all trials have run."""

    def __init__(self, watch: TrialWatch) -> None:
        self._watch = watch

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._watch.may_end


def tuner(
    tasks: Sequence[TrialTask],
    options: SweepOptions,
    rungs: Rungs | None,
    watch: TrialWatch,
    *,
    max_concurrent: int,
    trainable: Trainable,
    storage: Path,
    name: str,
    packs: Sequence[Sequence[int]] = (),
    admission: Admission | None = None,
) -> tune.Tuner:
    """A tuner whose `fit` runs the trials; it keeps no checkpoints and restores nothing.

    Args:
        tasks: of the trials.
        options: how to run them.
        rungs: when to stop them early.
        watch: told of them.
        max_concurrent: trials, or packs, at a time.
        trainable: what each runs.
        storage: folder for what Tune keeps.
        name: of this attempt in it.
        packs: places of the tasks that are run together; by default each is run alone.
        admission: says which trials may begin; None lets all of them, in their order.
    """
    os.environ.update(_SETTINGS)
    places = [list(pack) for pack in packs] or [[place] for place in range(len(tasks))]
    placements = [_placement(task) for task in tasks]
    resourced = tune.with_resources(
        tune.with_parameters(trainable, tasks=list(tasks)),
        # It travels to each trial: named in it, this module would be imported there.
        lambda config: placements[config["trials"][0]],
    )
    return tune.Tuner(
        resourced,
        param_space={} if admission else {"trials": tune.grid_search(places)},
        tune_config=tune.TuneConfig(
            search_alg=_Admitted(admission, watch) if admission else None,
            num_samples=len(tasks) if admission else 1,
            max_concurrent_trials=max_concurrent,
            reuse_actors=False,
            scheduler=_asha(rungs) if rungs else None,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(storage),
            callbacks=[watch],
            stop=_EndOfAll(watch),
            failure_config=tune.FailureConfig(max_failures=options.retries),
            verbose=0,
        ),
    )


def _asha(rungs: Rungs) -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(
        time_attr="epoch",
        metric=rungs.metric,
        mode="min",
        max_t=rungs.max_epochs,
        grace_period=GRACE_EPOCHS,
        reduction_factor=REDUCTION,
        stop_last_trials=False,  # a trial measures its weights after its last epoch
    )


def _placement(task: TrialTask) -> tune.PlacementGroupFactory:
    """What a trial itself takes; a group of workers asks for its own."""
    if task.workers > 1:
        return tune.PlacementGroupFactory([{"node:__internal_head__": _DRIVER_SHARE}])
    gpu = {"GPU": task.gpus_per_worker} if task.gpus_per_worker else {}
    return tune.PlacementGroupFactory([{"CPU": float(task.num_cpus), **gpu}])
