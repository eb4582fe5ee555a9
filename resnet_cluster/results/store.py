"""The result store: an index of the runs' events, quick to ask and safe to delete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import sqlalchemy as sa

from resnet_cluster.results import ingest, reading, schema, writing
from resnet_cluster.results.analyses import EnsembleRecord, NormsRecord, ResponsesRecord
from resnet_cluster.results.database import Database
from resnet_cluster.results.migrate import bring_up_to_date
from resnet_cluster.results.outline import RunOutline
from resnet_cluster.results.outlining import outlines
from resnet_cluster.results.records import EpochRecord, EvaluationRecord
from resnet_cluster.results.references import resolved
from resnet_cluster.results.summary import RunSummary, UsesOfTestSet
from resnet_cluster.results.uses import uses_of_test_sets

_BLOCK = 500
"""Keys asked of the database at once."""


class ResultStore:
    """The store of results. Callers get frozen values; nothing here holds a connection open.

    Every method may raise PreflightError (the database is locked, absent or full) and
    IntegrityError (it is damaged). Neither touches the events: they can be ingested again.
    """

    def __init__(self, database: Database, runs_root: Path) -> None:
        self._database = database
        self._runs_root = runs_root.resolve()

    @classmethod
    def open(cls, url: str, *, runs_root: Path, timeout_s: float = 15.0) -> ResultStore:
        """Open the store, made or brought to the newest schema where need be.

        Args:
            url: SQLAlchemy URL: `sqlite:////absolute/path/store.db`, `postgresql://...`.
            runs_root: folder with one folder per run; the store remembers it.
            timeout_s: how long a lock held by another process is waited for.

        Raises:
            UsageError: the URL makes no sense.
            PreflightError: no driver, no answer, a lock, or SQLite on a network file system.
            IntegrityError: a damaged database, another tool's, or one of a later version.
        """
        database = Database(url, timeout_s=timeout_s)
        bring_up_to_date(database)
        return cls(database, runs_root)

    @property
    def runs_root(self) -> Path:
        """The folder of runs that new ones go into."""
        return self._runs_root

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up the database."""
        self._database.close()

    def ingest(self) -> tuple[str, ...]:
        """Take in the events that the store lacks.

        A run whose folder is gone is dropped, unless its whole storage cannot be read or the
        database is a server's, where the folder may be another machine's.

        Returns:
            A sentence for each folder or event that could not be read; the rest is in the store.
        """
        return ingest.ingest(self._database, self._runs_root)

    def forget(self, run_id: str) -> None:
        """Remove a run from the store; a run that is not there is no error.

        A run whose folder remains comes back with the next `ingest`.
        """
        writing.forget(self._database, [run_id])

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run, the oldest first."""
        return self._summaries()

    def outlines(self) -> tuple[RunOutline, ...]:
        """Every run, the oldest first, with no more of each than tables ask: quick for many."""
        with self._database.reading() as connection:
            return outlines(connection)

    def run(self, reference: str) -> RunSummary:
        """The run of that id or name, or the one whose id begins so.

        Of several runs with the same name it is the newest.

        Raises:
            UnknownRunError: there is none.
            UsageError: several ids begin so.
        """
        with self._database.reading() as connection:
            run_id = resolved(connection, reference)
        return self._summaries(schema.runs.c.run_id == run_id)[0]

    def by_key(self, key: str) -> tuple[RunSummary, ...]:
        """The runs of one experiment, the oldest first."""
        return self._summaries(schema.runs.c.key == key)

    def by_keys(self, keys: Iterable[str]) -> dict[str, tuple[RunSummary, ...]]:
        """The runs of several experiments, the oldest first, by key; none of one that has none."""
        wanted, found = list(dict.fromkeys(keys)), defaultdict(list)
        for first in range(0, len(wanted), _BLOCK):
            for run in self._summaries(schema.runs.c.key.in_(wanted[first : first + _BLOCK])):
                found[run.key].append(run)
        return {key: tuple(runs) for key, runs in found.items()}

    def by_name(self, name: str) -> tuple[RunSummary, ...]:
        """The runs of that name, the oldest first."""
        return self._summaries(schema.runs.c.name == name)

    def epochs(self, run_id: str) -> tuple[EpochRecord, ...]:
        """The finished epochs of a run, in order."""
        with self._database.reading() as connection:
            return reading.epochs(connection, run_id)

    def evaluations(self, run_id: str) -> tuple[EvaluationRecord, ...]:
        """The figures of a run, by protocol, split and selection rule."""
        with self._database.reading() as connection:
            return reading.evaluations(connection, run_id)

    def ensembles(self) -> tuple[EnsembleRecord, ...]:
        """Figures of several runs together, the oldest first; a removed run takes its own along."""
        with self._database.reading() as connection:
            return reading.ensembles(connection)

    def responses(self, run_id: str) -> tuple[ResponsesRecord, ...]:
        """The analyses of a run's layers, that of most images last."""
        with self._database.reading() as connection:
            return reading.responses(connection, run_id)

    def norms(self, run_id: str) -> tuple[NormsRecord, ...]:
        """How large the signals of a run's layers were while it trained, epoch by epoch."""
        with self._database.reading() as connection:
            return reading.norms(connection, run_id)

    def uses_of_test_sets(self) -> tuple[UsesOfTestSet, ...]:
        """How often the test images of each data set have been used, by all runs."""
        with self._database.reading() as connection:
            return uses_of_test_sets(connection)

    def _summaries(self, *where: sa.ColumnElement[bool]) -> tuple[RunSummary, ...]:
        with self._database.reading() as connection:
            return reading.summaries(connection, *where)
