"""From a job to its run: the one there is, or exactly one new one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prepared import prepare_few_digits
from tiny_runs import tiny_job

from resnet_cluster.cluster.capacity import Cluster
from resnet_cluster.cluster.driver import Driver
from resnet_cluster.cluster.signals import StopRequest
from resnet_cluster.cluster.submission import (
    FoundRun,
    PlannedJob,
    find_or_create,
    plan_job,
)
from resnet_cluster.errors import UsageError
from resnet_cluster.results import (
    AttemptEnded,
    AttemptStarted,
    EventLog,
    ResultStore,
    RunState,
    own_identity,
)
from resnet_cluster.spec import JobSource, JobSpec, LoadedJob


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 digits."""
    return prepare_few_digits(tmp_path_factory.mktemp("digits"), num_train=200, num_test=40)


@pytest.fixture
def store(home: Path) -> Iterator[ResultStore]:
    """An empty store."""
    with _opened(home) as store:
        yield store


def _opened(home: Path) -> ResultStore:
    return ResultStore.open(f"sqlite:///{home}/store.db", runs_root=home / "runs")


def planned(dataset: Path, *, name: str = "tiny", seed: int = 7) -> PlannedJob:
    """The tiny job on those digits."""
    job = JobSpec.model_validate(tiny_job({"name": name, "seed": seed, "data.name": str(dataset)}))
    return plan_job(LoadedJob(job, JobSource()))


def made(job: PlannedJob, store: ResultStore, home: Path, *, rerun: bool = False) -> FoundRun:
    """The run of a job."""
    return find_or_create(job, store, home / "runs", rerun=rerun)


def end(found: FoundRun, state: RunState) -> None:
    """Record how its next attempt went."""
    log = EventLog(found.run.run_dir)
    log.record(AttemptStarted(attempt=1, owner="here", identity=own_identity()))
    log.record(AttemptEnded(attempt=1, state=state))


def test_the_same_experiment_is_the_same_run(dataset: Path, store: ResultStore, home: Path) -> None:
    first = made(planned(dataset), store, home)
    again = made(planned(dataset, name="other"), store, home)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.run.run_id == first.run.run_id
    assert made(planned(dataset, name="third", seed=8), store, home).is_new


def test_a_name_is_not_given_twice(dataset: Path, store: ResultStore, home: Path) -> None:
    first = made(planned(dataset), store, home)
    with pytest.raises(UsageError, match=first.run.run_id):
        made(planned(dataset, seed=8), store, home)
    assert len(store.runs()) == 1


def test_running_again_numbers_the_name(dataset: Path, store: ResultStore, home: Path) -> None:
    names = [made(planned(dataset), store, home, rerun=True).run.name for _ in range(3)]
    assert names == ["tiny", "tiny-2", "tiny-3"]
    assert len({run.key for run in store.runs()}) == 1


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        ([RunState.SUCCEEDED, RunState.FAILED], 0),
        ([RunState.FAILED, RunState.CANCELLED], 1),
        ([RunState.SUCCEEDED, RunState.SUCCEEDED], 1),
    ],
)
def test_of_several_runs_of_an_experiment_the_best_is_chosen(
    states: list[RunState], chosen: int, dataset: Path, store: ResultStore, home: Path
) -> None:
    runs = [made(planned(dataset), store, home, rerun=True) for _ in states]
    for run, state in zip(runs, states, strict=True):
        end(run, state)
    assert made(planned(dataset), store, home).run.run_id == runs[chosen].run.run_id


def test_commands_at_once_make_one_run(dataset: Path, home: Path) -> None:
    job = planned(dataset)

    def make(_: int) -> FoundRun:
        with _opened(home) as own:
            return made(job, own, home)

    _opened(home).close()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(make, range(6)))
    assert sum(run.is_new for run in found) == 1
    assert len({run.run.run_id for run in found}) == 1
    assert len(list((home / "runs").glob("r-*"))) == 1


def test_the_run_remembers_where_it_came_from(
    dataset: Path, store: ResultStore, home: Path
) -> None:
    job = planned(dataset)
    record = made(job, store, home).run.record
    assert record.key == job.plan.key
    assert record.dataset.sha256 == job.manifest.sha256
    assert JobSpec.model_validate(record.job) == job.job
    assert {"python", "torch", "ray", "ffcv"} <= set(record.versions)
    assert record.command


class TestOneDriver:
    @pytest.fixture
    def run_dir(self, dataset: Path, store: ResultStore, home: Path) -> Path:
        return made(planned(dataset), store, home).run.run_dir

    def driver(self, run_dir: Path, dataset: Path) -> Driver:
        """A driver; where it may drive it would need Ray."""
        return Driver(
            job=planned(dataset).job,
            run_dir=run_dir,
            dataset_folder=dataset,
            cluster=Cluster(address=None, num_cpus=2, num_gpus=0, num_nodes=1),
            tell=lambda news: None,
            stop=StopRequest(),
        )

    def test_a_run_that_another_process_has_taken_meanwhile(
        self, run_dir: Path, dataset: Path
    ) -> None:
        log = EventLog(run_dir)
        log.record(AttemptStarted(attempt=1, owner="another", identity=own_identity()))
        with pytest.raises(UsageError, match=run_dir.name):
            self.driver(run_dir, dataset).drive()
        assert log.names() == ["attempt-001-started", "run"]
