"""The one contract of the store, held against every back end."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import team
from factories import (
    CIFAR10,
    DIGITS,
    START,
    make_attempt_events,
    make_epoch,
    make_evaluation,
    make_job,
    make_run_record,
    record_run,
)

from resnet_cluster.errors import UnknownRunError, UsageError
from resnet_cluster.results import (
    ArtefactRecord,
    AttemptStarted,
    DatasetFacts,
    EnsembleRecord,
    Errors,
    EventLog,
    LayerNorms,
    LayerStd,
    NormsRecord,
    ParityRecord,
    ResponsesRecord,
    ResultStore,
    RunState,
    SearchRecord,
    schema,
)

RUN = make_run_record(make_job(), run_id="r-0001")

_INGEST = """
import sys
from pathlib import Path
from resnet_cluster.results import ResultStore
store = ResultStore.open(sys.argv[1], runs_root=Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
print(store.ingest())
"""


def make_parity(dataset: DatasetFacts, num_images: int) -> ParityRecord:
    """A comparison of our pixels with torchvision's."""
    return ParityRecord(
        at=START,
        dataset_name=dataset.name,
        dataset_sha256=dataset.sha256,
        pixels="v1, c",
        num_images=num_images,
        pixel_difference=0.0,
        logit_difference=0.0,
        max_logit_difference=0.0,
        agreement=100.0,
        top1_err=2.0,
        reference_top1_err=2.0,
    )


def make_search(*run_ids: str) -> SearchRecord:
    """A search for the best ensemble among runs, in which all of them joined."""
    return SearchRecord(
        at=START,
        candidates=run_ids,
        chosen=run_ids,
        protocol="single",
        average="softmax",
        num_images=180,
        top1_err=2.0,
    )


def team_at(url: str, root: Path) -> str:
    """What the processes of `team.py` complained of; none of them is left."""
    process = subprocess.Popen(
        [sys.executable, team.__file__, url, str(root)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, complaints = process.communicate(timeout=team.DEADLINE_S + 30)
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return complaints if process.returncode else ""


def rows_of(url: str) -> dict[str, list[str]]:
    """Every row of a store by its table, but for the numbers that a server gives to storages."""
    found = {}
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            columns = [column for column in table.columns if column.name != "storage_id"]
            found[table.name] = sorted(map(repr, connection.execute(sa.select(*columns))))
    engine.dispose()
    return found


class TestContract:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "runs"

    @pytest.fixture
    def store(self, store_url: str, root: Path) -> ResultStore:
        return ResultStore.open(store_url, runs_root=root)

    def test_an_empty_store_has_nothing(self, store: ResultStore) -> None:
        assert store.ingest() == ()
        assert store.runs() == store.by_name("x") == store.by_key("x") == ()
        assert store.epochs("r-0001") == ()
        assert store.evaluations("r-0001") == ()
        assert store.ensembles() == ()
        assert store.outlines() == ()

    def test_every_record_comes_back_as_it_was_written(
        self, store: ResultStore, root: Path
    ) -> None:
        log = record_run(root, RUN)
        figure = make_evaluation(RUN, 8.61)
        weights = ArtefactRecord(
            at=START, name="final", path="weights.pt", sha256="ab" * 32, num_bytes=1 << 40
        )
        assert log.record(figure)
        assert log.record(weights)

        assert store.ingest() == ()
        run = store.run("r-0001")
        assert run.record == RUN
        assert run.job == make_job()
        assert run.dataset == CIFAR10
        assert run.run_dir == root / "r-0001"
        assert run.evaluations == store.evaluations("r-0001") == (figure,)
        assert run.artefacts == (weights,)
        assert store.epochs("r-0001") == (make_epoch(1), make_epoch(2))
        assert (run.epochs_done, run.last_epoch) == (2, make_epoch(2))
        (attempt,) = run.attempts
        assert (attempt.owner, attempt.device, attempt.message) == (
            "laptop:4711",
            "H100",
            "as told",
        )
        assert attempt.ended_at == START + timedelta(hours=1)

    def test_an_ensemble_is_there_while_its_runs_are(self, store: ResultStore, root: Path) -> None:
        other = make_run_record(make_job({"name": "other", "seed": 1}), run_id="r-0002")
        log = record_run(root, RUN)
        record_run(root, other)
        errors = Errors(loss=0.3, top1_err=7.5, top5_err=0.2, num_images=10_000)
        figures = [
            EnsembleRecord(
                at=START + timedelta(minutes=minute),
                members=("r-0001", "r-0002"),
                protocol=protocol,
                average="softmax",
                split="test",
                select="final",
                num_moved=3,
                errors=errors,
            )
            for minute, protocol in enumerate(("single", "ten-crop-32pad4-softmax"))
        ]
        for figure in figures:
            assert log.record(figure)
        assert store.ingest() == ()
        assert store.ensembles() == tuple(figures)
        store.forget("r-0002")
        assert store.ensembles() == ()

    def test_analyses_of_layers_come_back(self, store: ResultStore, root: Path) -> None:
        log = record_run(root, RUN)
        layers = (LayerStd(name="conv1", std=0.5), LayerStd(name="layer1.0.conv1", std=1.25))
        records = [
            ResponsesRecord(at=START, split="test", num_images=number, layers=layers)
            for number in (10_000, 500)
        ]
        for record in records:
            assert log.record(record)
        assert store.ingest() == ()
        assert store.responses("r-0001") == tuple(records[::-1])
        assert store.responses("r-0002") == ()

    def test_norms_of_layers_come_back_by_epoch(self, store: ResultStore, root: Path) -> None:
        log = record_run(root, RUN)
        layers = (LayerNorms(name="conv1", forward=0.5, gradient=1e-9),)
        records = [
            NormsRecord(at=START, epoch=epoch, step=390 * (epoch - 1), layers=layers)
            for epoch in (11, 1)
        ]
        for record in records:
            assert log.record(record)
        assert store.ingest() == ()
        assert store.norms("r-0001") == tuple(records[::-1])
        assert store.norms("r-0002") == ()

    def test_uses_of_a_test_set_are_counted(self, store: ResultStore, root: Path) -> None:
        assert store.uses_of_test_sets() == ()
        log = record_run(root, RUN, top1_err=8.6)  # and two epochs, observed
        log.record(make_evaluation(RUN, 8.1, protocol="ten-crop-32pad4-softmax"))
        log.record(make_evaluation(RUN, 7.0, split="holdout"))
        log.record(make_epoch(3).model_copy(update={"observed_test": None}))
        other = make_run_record(make_job({"name": "other"}), run_id="r-0002")
        record_run(root, other, num_epochs=1)
        digits = make_run_record(make_job({"name": "d"}), run_id="r-0003", dataset=DIGITS)
        log = record_run(root, digits, top1_err=2.0, num_epochs=0)
        for number in (360, 100):
            log.record(make_parity(DIGITS, number))
        log.record(make_search("r-0003"))
        assert store.ingest() == ()
        cifar, digit = store.uses_of_test_sets()
        assert (cifar.name, cifar.dataset_sha256, cifar.num_runs) == ("cifar10", CIFAR10.sha256, 2)
        assert (cifar.num_figures, cifar.num_observed, cifar.total) == (2, 3, 5)
        assert (digit.name, digit.num_runs, digit.num_figures) == ("digits", 1, 1)
        assert (digit.num_comparisons, digit.num_searches, digit.total) == (2, 1, 4)

    def test_uses_are_counted_where_all_runs_share_a_data_set(
        self, store: ResultStore, root: Path
    ) -> None:
        log = record_run(root, RUN, top1_err=8.6)  # and two epochs, observed
        log.record(make_evaluation(RUN, 7.0, split="holdout"))
        held_out = CIFAR10.model_copy(update={"name": "held-out", "num_holdout_images": 5_000})
        other = make_run_record(make_job(), run_id="r-0002", dataset=held_out, minute=1)
        record_run(root, other, num_epochs=3)
        assert store.ingest() == ()
        (uses,) = store.uses_of_test_sets()
        assert (uses.name, uses.num_runs) == ("held-out", 2)
        assert (uses.num_figures, uses.num_observed, uses.total) == (1, 5, 6)

    def test_an_outline_says_of_a_run_what_its_summary_does(
        self, store: ResultStore, root: Path
    ) -> None:
        weights = ArtefactRecord(
            at=START, name="weights", path="weights.pt", sha256="ab" * 32, num_bytes=1
        )
        ends = (RunState.SUCCEEDED, RunState.FAILED, None)
        for number, (seed, state) in enumerate(itertools.product((3, 40), ends)):
            job = make_job({"seed": seed, "name": f"run-{number}"})
            run = make_run_record(job, run_id=f"r-{number}", minute=-number)
            versions = {"training-semantics": "7"} if state else {}
            log = record_run(root, run.model_copy(update={"versions": versions}), state=state)
            log.record(weights)
            log.record(make_evaluation(run, 8.5, protocol="ten-crop-32pad4-softmax"))
            log.record(make_evaluation(run, 8.0 + number))
        bare = make_run_record(make_job({"model.depth": 32}), run_id="r-bare", dataset=DIGITS)
        record_run(root, bare, num_epochs=0)
        for when in ("lost", "before", "training"):
            log = record_run(root, bare.model_copy(update={"run_id": f"r-{when}"}), state=None)
            assert log.record(make_epoch(11))
            if when != "training":
                log.record(make_attempt_events(RunState.LOST)[-1])
                log.record(AttemptStarted(at=START, attempt=2, owner="laptop:4712"))
            if when == "lost":
                log.record(make_attempt_events(RunState.LOST, attempt=2)[-1])
        EventLog(root / "r-new").record(bare.model_copy(update={"run_id": "r-new"}))
        assert store.ingest() == ()
        outlines, runs = store.outlines(), store.runs()
        assert [one.run_id for one in outlines] == [run.run_id for run in runs]
        assert [one.has_weights for one in outlines] == [
            run.run_id in ("r-0", "r-3") for run in runs
        ]
        for outline, run in zip(outlines, runs, strict=True):
            assert (outline.name, outline.seed) == (run.name, run.seed)
            assert outline.state is run.state
            assert outline.epochs_done == (None if run.evaluations else run.epochs_done)
            assert outline.has_weights is run.has_weights
            same = {"name": run.name, "seed": run.seed}
            assert outline.setup.job.model_copy(update=same) == run.job
            assert vars(outline.setup) == vars(run.setup) | {"job": outline.setup.job}
            assert [tuple(figure) for figure in outline.evaluations] == [
                (e.protocol, e.split, e.select, e.ema, e.step, e.errors.top1_err, e.errors.top5_err)
                for e in run.evaluations
            ]
        # What differs in the seed alone is one setup; another version's training is another.
        assert len({one.setup for one in outlines}) == 3

    def test_a_loss_that_is_no_number_is_kept(self, store: ResultStore, root: Path) -> None:
        log = record_run(root, RUN, num_epochs=0)
        for number, loss in enumerate((math.nan, math.inf), start=1):
            errors = Errors(loss=loss, top1_err=90.0, top5_err=None, num_images=7)
            log.record(make_epoch(number).model_copy(update={"train": errors}))
        assert store.ingest() == ()
        first, second = store.epochs("r-0001")
        assert math.isnan(first.train.loss)
        assert second.train.loss == math.inf
        assert first.train.top5_err is None
        assert first.holdout is None

    def test_ingesting_again_changes_nothing(self, store: ResultStore, root: Path) -> None:
        record_run(root, RUN, top1_err=8.61)
        store.ingest()
        before = store.runs()
        assert store.ingest() == ()
        assert store.runs() == before

    def test_events_are_taken_in_as_they_come(self, store: ResultStore, root: Path) -> None:
        log = EventLog(root / "r-0001")
        log.record(RUN)
        states = []
        second = AttemptStarted(at=START, attempt=2, owner="laptop:4712")
        for event in [
            *make_attempt_events(RunState.LOST),
            second,
            *make_attempt_events(RunState.SUCCEEDED, attempt=2)[1:],
        ]:
            store.ingest()
            states.append(store.run("r-0001").state)
            log.record(event)
        store.ingest()
        states.append(store.run("r-0001").state)
        assert " ".join(states) == "PENDING PENDING RUNNING LOST RECOVERING RUNNING SUCCEEDED"

    def test_a_run_is_found_by_id_prefix_or_name(self, store: ResultStore, root: Path) -> None:
        record_run(root, make_run_record(make_job({"name": "first"}), run_id="r-abc1"))
        record_run(root, make_run_record(make_job({"name": "second"}), run_id="r-abd2"))
        store.ingest()
        assert store.run("r-abc1").name == "first"
        assert store.run("r-abd").name == "second"
        assert store.run("second").run_id == "r-abd2"
        with pytest.raises(UsageError, match="2 runs") as ambiguous:
            store.run("r-ab")
        assert "r-abc1, r-abd2" in ambiguous.value.mend
        with pytest.raises(UnknownRunError) as unknown:
            store.run("secnd")
        assert "second" in unknown.value.mend
        for reference in ("", "%", "R-ABC1", "r-abc1\n"):
            with pytest.raises(UnknownRunError):
                store.run(reference)

    def test_of_one_name_or_key_the_newest_is_last(self, store: ResultStore, root: Path) -> None:
        for run_id, minute in (("r-2", 1), ("r-1", 2), ("r-3", 0)):
            record_run(root, make_run_record(make_job(), run_id=run_id, key="k", minute=minute))
        store.ingest()
        expected = ["r-3", "r-2", "r-1"]
        assert [run.run_id for run in store.by_key("k")] == expected
        assert [run.run_id for run in store.by_name("cifar10_r20")] == expected
        assert [run.run_id for run in store.runs()] == expected
        assert store.run("cifar10_r20").run_id == "r-1"

    def test_forget_removes_a_run_and_ingest_brings_it_back(
        self, store: ResultStore, root: Path
    ) -> None:
        for run_id in ("r-1", "r-2"):
            record_run(root, make_run_record(make_job(), run_id=run_id), top1_err=9.0)
        store.ingest()
        before = store.runs()
        store.forget("r-1")
        store.forget("r-unknown")
        assert [run.run_id for run in store.runs()] == ["r-2"]
        assert store.epochs("r-1") == ()
        store.ingest()
        assert store.runs() == before

    def test_a_storage_is_remembered(self, store: ResultStore, store_url: str, root: Path) -> None:
        record_run(root, RUN, state=None)
        store.ingest()
        other = ResultStore.open(store_url, runs_root=root.parent / "elsewhere")
        for event in make_attempt_events(RunState.CANCELLED):
            EventLog(root / "r-0001").record(event)
        other.ingest()
        assert other.run("r-0001").state is RunState.CANCELLED

    def test_two_processes_ingest_at_once(
        self, store: ResultStore, store_url: str, root: Path
    ) -> None:
        for number in range(12):
            run = make_run_record(make_job(), run_id=f"r-{number:04d}", minute=number)
            record_run(root, run, top1_err=9.0, num_epochs=5)
        command = [sys.executable, "-c", _INGEST, store_url, str(root)]
        processes = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(2)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(b"\n")
                process.stdin.flush()
            answers = [process.communicate(timeout=60) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        assert answers == [(b"()\n", b"")] * 2
        runs = store.runs()
        assert [run.run_id for run in runs] == [f"r-{number:04d}" for number in range(12)]
        assert all(len(store.epochs(run.run_id)) == 5 for run in runs)

    def test_a_team_ingests_while_others_train(
        self, store_url: str, root: Path, tmp_path: Path
    ) -> None:
        for number in range(12):
            job = make_job({"name": f"old-{number}", "seed": number})
            run = make_run_record(job, run_id=f"r-old-{number:02d}", minute=-number)
            record_run(root, run, top1_err=9.0, num_epochs=4)
        assert team_at(store_url, root) == ""
        alone = f"sqlite:///{tmp_path / 'alone.db'}"
        with ResultStore.open(alone, runs_root=root) as store:
            assert store.ingest() == ()
            runs = store.runs()
        with ResultStore.open(store_url, runs_root=root) as store:
            assert store.runs() == runs
        assert [run.state for run in runs] == [RunState.SUCCEEDED] * 15
        assert rows_of(store_url) == rows_of(alone)

    def test_one_broken_run_does_not_hide_the_others(self, store: ResultStore, root: Path) -> None:
        record_run(root, make_run_record(make_job(), run_id="r-good"), top1_err=9.0)
        torn = record_run(root, make_run_record(make_job(), run_id="r-torn"), top1_err=9.0)
        epoch = torn.folder / "epoch-00001.json"
        epoch.write_bytes(epoch.read_bytes()[:40])
        headless = record_run(root, make_run_record(make_job(), run_id="r-headless"))
        (headless.folder / "run.json").unlink()
        foreign = record_run(root, make_run_record(make_job(), run_id="r-foreign"))
        run = json.loads((foreign.folder / "run.json").read_text())
        run["job"]["model"]["depth"] = "deep"
        (foreign.folder / "run.json").write_text(json.dumps(run))
        (root / "notes.txt").write_text("not a run")
        (root / "empty").mkdir()

        warnings = store.ingest()
        assert {run.run_id for run in store.runs()} == {"r-good", "r-torn"}
        assert [epoch.epoch for epoch in store.epochs("r-torn")] == [2]
        assert len(warnings) == 3
        for folder, warning in zip(("r-foreign", "r-headless", "r-torn"), warnings, strict=True):
            assert folder in warning

    def test_an_end_that_cannot_be_read_is_an_end_all_the_same(
        self, store: ResultStore, root: Path
    ) -> None:
        log = record_run(root, make_run_record(make_job(), run_id="r-0001"))
        end = log.folder / "attempt-001-ended.json"
        written = end.read_bytes()
        end.write_bytes(written[:20])
        for _ in range(2):
            assert any(str(end) in warning for warning in store.ingest())
            run = store.run("r-0001")
            assert run.state is RunState.LOST
            assert str(end) in run.attempts[-1].message
        end.write_bytes(written)
        assert store.ingest() == ()
        assert store.run("r-0001").state is RunState.SUCCEEDED

    def test_a_copied_run_is_not_counted_twice(self, store: ResultStore, root: Path) -> None:
        log = record_run(root, RUN, top1_err=8.61)
        for name in log.names():
            path = root / "r-0001-copy" / "events" / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((log.folder / f"{name}.json").read_bytes())
        (warning,) = store.ingest()
        assert "copy" in warning
        assert [run.run_dir.name for run in store.runs()] == ["r-0001"]

    def test_runs_may_move(self, store: ResultStore, store_url: str, root: Path) -> None:
        record_run(root, RUN, top1_err=8.61)
        store.ingest()
        moved = root.rename(root.with_name("moved"))
        other = ResultStore.open(store_url, runs_root=moved)
        other.ingest()
        assert [run.run_dir for run in other.runs()] == [moved / "r-0001"]
        assert other.ingest() == ()
