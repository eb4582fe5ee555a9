"""The schema: every older store opens, and the migrations make what `schema.py` says."""

from __future__ import annotations

import io
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from factories import make_job, make_run_record, record_run
from older_stores import DUMPS, restore, revision_of
from private_postgresql import PostgreSQL
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateIndex, CreateTable

from resnet_cluster.errors import IntegrityError
from resnet_cluster.results import EventLog, LayerNorms, NormsRecord, ResultStore, RunState, schema
from resnet_cluster.results.migrate import MIGRATIONS

BEFORE_SETUPS = next(dump for dump in DUMPS if revision_of(dump) == "0005")
POSTGRESQL: sa.Dialect = registry.load("postgresql")()


def revisions() -> list[str]:
    """Revisions of the schema, the oldest first."""
    scripts = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    return [script.revision for script in scripts][::-1]


def test_there_is_a_store_of_every_revision() -> None:
    assert [revision_of(dump) for dump in DUMPS] == revisions()
    assert revisions()[-1] == schema.HEAD


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
def test_a_store_of_an_older_version_opens(dump: Path, store_url: str, tmp_path: Path) -> None:
    restore(dump, store_url, tmp_path)
    with ResultStore.open(store_url, runs_root=tmp_path / "runs") as store:
        (warning,) = store.ingest()
        assert "/nonexistent/runs" in warning
        run = store.run("cifar10_r20")
        runs, outlines = store.runs(), store.outlines()
        (uses,) = store.uses_of_test_sets()
    origins = [each.record.imported for each in runs if each.record.imported]
    assert [origin.file for origin in origins] == ["resnet20.pth"] * (dump.stem >= "store_0005")
    assert (run.run_id, run.key, run.state) == ("r-v1", "key-of-r-v1", RunState.SUCCEEDED)
    assert run.created_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert (run.job.model.depth, run.job.train.iterations) == (20, 64_000)
    assert (run.dataset.num_train_images, run.record.num_parameters) == (50_000, 272_474)
    assert (run.attempts[0].owner, run.attempts[0].device) == ("laptop:4711", "H100")
    assert run.last_epoch is not None
    assert (run.epochs_done, run.last_epoch.train.top1_err) == (2, 59.5)
    assert run.evaluations[0].errors.top1_err == 8.61
    assert run.artefacts[0].num_bytes == 1_090_000
    assert [(each.run_id, each.seed) for each in outlines] == [(each.run_id, 0) for each in runs]
    assert [each.setup.job.model for each in outlines] == [each.job.model for each in runs]
    assert (uses.num_runs, uses.num_figures, uses.num_observed) == (len(runs), 1, 2)


def test_norms_that_an_older_version_passed_over_are_read(tmp_path: Path) -> None:
    layers = (LayerNorms(name="conv1", forward=0.5, gradient=1e-9),)
    norms = NormsRecord(at=datetime(2026, 3, 1, tzinfo=UTC), epoch=1, step=0, layers=layers)
    runs, path = tmp_path / "runs", tmp_path / "store.db"
    record_run(runs, make_run_record(make_job())).record(norms)
    with ResultStore.open(f"sqlite:///{path}", runs_root=runs) as store:
        store.ingest()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE norms")
        connection.execute("ALTER TABLE runs DROP COLUMN imported")
        for index in ("runs_setup", "runs_storage_id", "epochs_observed", "events_uses"):
            connection.execute(f"DROP INDEX ix_{index}")
        connection.execute("ALTER TABLE runs DROP COLUMN seed")
        connection.execute("ALTER TABLE runs DROP COLUMN setup")
        connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0003'")
    connection.close()
    with ResultStore.open(f"sqlite:///{path}", runs_root=runs) as store:
        assert store.ingest() == ()
        assert store.norms("r-0001") == (norms,)


def test_a_setup_of_an_older_store_is_that_of_the_same_run_taken_in_now(
    store_url: str, tmp_path: Path
) -> None:
    restore(BEFORE_SETUPS, store_url, tmp_path)
    with ResultStore.open(store_url, runs_root=tmp_path / "none") as store:
        for run in store.runs():
            EventLog(tmp_path / "runs" / run.run_id).record(run.record)
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    with ResultStore.open(fresh, runs_root=tmp_path / "runs") as store:
        assert store.ingest() == ()
    found = setups_in(store_url)
    assert found == setups_in(fresh)
    assert len({setup for _, _, setup in found} - {""}) == 2


def setups_in(url: str) -> list[tuple[str, int, str]]:
    """Id, seed and setup of each run."""
    runs = schema.runs
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        query = sa.select(runs.c.run_id, runs.c.seed, runs.c.setup).order_by(runs.c.run_id)
        found = [tuple(row) for row in connection.execute(query)]
    engine.dispose()
    return found


def test_migrations_make_what_the_schema_says(tmp_path: Path) -> None:
    ResultStore.open(f"sqlite:///{tmp_path / 'store.db'}", runs_root=tmp_path).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.connect() as connection:
        options = {"version_table": schema.VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_migrations_make_what_the_schema_says_on_postgresql(postgresql: PostgreSQL) -> None:
    declared = []
    for table in schema.metadata.sorted_tables:
        declared.append(str(CreateTable(table).compile(dialect=POSTGRESQL)))
        declared += [str(CreateIndex(index).compile(dialect=POSTGRESQL)) for index in table.indexes]
    dumps = []
    for script in (";\n".join([*declared, ""]), migrations_as_sql()):
        name = postgresql.create_database()
        postgresql.call("psql", "--quiet", "--set=ON_ERROR_STOP=1", name, script=script)
        dumps.append(tables(postgresql.call("pg_dump", "--schema-only", name)))
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) == len(schema.metadata.tables)


def migrations_as_sql() -> str:
    """Every migration as a script for PostgreSQL, made without its driver."""
    buffer = io.StringIO()
    options = {"as_sql": True, "output_buffer": buffer}
    context = MigrationContext.configure(dialect=POSTGRESQL, opts=options)
    scripts = ScriptDirectory(str(MIGRATIONS))
    with Operations.context(context):
        for revision in revisions():
            scripts.get_revision(revision).module.upgrade()
    return buffer.getvalue()


def tables(dump: str) -> list[set[str]]:
    """Lines of each CREATE TABLE of a dump: the order of columns is of no account."""
    found = re.findall(r"CREATE TABLE (.*?)\);", dump, flags=re.DOTALL)
    return [{line.strip().rstrip(",") for line in table.splitlines()} for table in found]


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    ResultStore.open(url, runs_root=tmp_path).close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    with pytest.raises(IntegrityError, match="later version") as refused:
        ResultStore.open(url, runs_root=tmp_path)
    assert "upgrade" in refused.value.mend
