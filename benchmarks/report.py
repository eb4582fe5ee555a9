"""How long a report takes on a large store.

    python benchmarks/report.py [--postgresql]

Stores of 1,000 and of 100,000 runs, each with ten epochs, its weights and a figure, are written as
SQLite files, or in a private PostgreSQL server; their storage is absent, as on a laptop away from
its cluster. The runs are of one data set, and in a third store of two. `report` and `report
--table 6` are then run in processes of their own, three times each, and beside them on an empty
store, whose time is that of Python, of the imports and of the paper's own figures. A figure is the
median wall time.

Exit code 0: at most 0.3 s more than on an empty store for 1,000 runs, and 2 s for 100,000. 1: no.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from many_runs import write_store

ROUNDS = 3
STORES = ((1_000, 1, 0.3), (100_000, 1, 2.0), (100_000, 2, 2.0))
"""Runs, the data sets that share them, and the limit in seconds."""
COMMANDS = (("report",), ("report", "--table", "6"))
PROGRAM = Path(sys.executable).with_name("resnet-cluster")
TESTS = Path(__file__).parents[1] / "tests" / "results"


@contextlib.contextmanager
def sqlite_files() -> Iterator[Callable[[], str]]:
    """Gives the URL of a file that is not there yet."""
    with tempfile.TemporaryDirectory() as folder:
        yield lambda: f"sqlite:///{tempfile.mkdtemp(dir=folder)}/store.db"


@contextlib.contextmanager
def postgresql_databases() -> Iterator[Callable[[], str]]:
    """Gives the URL of an empty database of a private server, which is gone after the block."""
    sys.path.append(str(TESTS))
    from private_postgresql import running_postgresql

    with running_postgresql() as server:
        yield (
            lambda: f"postgresql+psycopg://tester@/{server.create_database()}?host={server.folder}"
        )


def seconds(url: str, *words: str) -> float:
    """Median wall time of a command."""
    with tempfile.TemporaryDirectory() as home:
        state = {"RESNET_CLUSTER_HOME": home, "RESNET_CLUSTER_STORE": url, "NO_COLOR": "1"}
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            subprocess.run(
                [PROGRAM, *words], env=os.environ | state, check=True, capture_output=True
            )
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description="How long a report takes on a large store.")
    parser.add_argument("--postgresql", action="store_true", help="on a private server of it")
    is_postgresql = parser.parse_args().postgresql
    passed = True
    found: dict[str, dict[str, float]] = {}
    with postgresql_databases() if is_postgresql else sqlite_files() as new_url:
        empty = new_url()
        for num_runs, num_datasets, limit in STORES:
            write_store(url := new_url(), num_runs, num_datasets=num_datasets)
            for words in COMMANDS:
                start = seconds(empty, *words)
                whole = seconds(url, *words)
                what = f"{num_runs:,} runs of {num_datasets} data sets, {' '.join(words)}"
                found[what] = {"report_s": round(whole, 3), "empty_s": round(start, 3)}
                passed &= whole - start <= limit
                print(
                    f"{what}: {whole:.2f} s, empty {start:.2f} s; limit {limit} s more", flush=True
                )
    print(json.dumps(found))
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
