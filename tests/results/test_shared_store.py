"""What a server's store asks of the commands, which a file of one's own does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_job, make_run_record, record_run
from private_postgresql import PostgreSQL

from resnet_cluster.results import ResultStore


def test_a_run_whose_folder_is_gone_can_be_removed(
    postgresql: PostgreSQL, home: Path, tmp_path: Path
) -> None:
    pytest.importorskip("psycopg", reason="PostgreSQL's driver psycopg is not installed")
    url = f"postgresql://tester@/{postgresql.create_database()}?host={postgresql.folder}"
    runs = home / "runs"
    for run_id in ("r-0001", "r-0002"):
        record_run(runs, make_run_record(make_job(), run_id=run_id), top1_err=9.0)
    store = ResultStore.open(url, runs_root=runs)
    assert store.ingest() == ()
    shutil.rmtree(runs / "r-0001")
    assert store.ingest() == ()
    assert len(store.runs()) == 2
    state = {"RESNET_CLUSTER_STORE": url, "RESNET_CLUSTER_HOME": str(home)}

    def remove() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "resnet_cluster", "rm", "--yes", "r-0001"]
        return subprocess.run(
            command, env=os.environ | state, capture_output=True, text=True, timeout=60
        )

    runs.rename(tmp_path / "unmounted")
    refused = remove()
    assert (refused.returncode, "storage of the run is there" in refused.stderr) == (3, True)
    (tmp_path / "unmounted").rename(runs)
    removed = remove()
    assert removed.returncode == 0, removed.stderr
    assert [run.run_id for run in store.runs()] == ["r-0002"]
