"""Results: events as the truth, and the store, an index of them that can be rebuilt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resnet_cluster.results.events import EventLog
from resnet_cluster.results.following import follow
from resnet_cluster.results.ownership import (
    Heartbeat,
    last_attempt,
    note_lost_owner,
    own_identity,
    own_name,
)
from resnet_cluster.results.records import (
    SCHEMA_VERSION,
    AnyRecord,
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptTraining,
    BadSampleRecord,
    DatasetFacts,
    EnsembleRecord,
    EpochRecord,
    Errors,
    EvaluationRecord,
    ImportedWeights,
    LayerNorms,
    LayerStd,
    NormsRecord,
    ParityRecord,
    Record,
    ResponsesRecord,
    RunRecord,
    RunState,
    now,
)
from resnet_cluster.results.summary import Attempt, RunSummary, UsesOfTestSet, run_state

if TYPE_CHECKING:
    from resnet_cluster.results.store import ResultStore

__all__ = [
    "SCHEMA_VERSION",
    "AnyRecord",
    "ArtefactRecord",
    "Attempt",
    "AttemptEnded",
    "AttemptStarted",
    "AttemptTraining",
    "BadSampleRecord",
    "DatasetFacts",
    "EnsembleRecord",
    "EpochRecord",
    "Errors",
    "EvaluationRecord",
    "EventLog",
    "Heartbeat",
    "ImportedWeights",
    "LayerNorms",
    "LayerStd",
    "NormsRecord",
    "ParityRecord",
    "Record",
    "ResponsesRecord",
    "ResultStore",
    "RunRecord",
    "RunState",
    "RunSummary",
    "UsesOfTestSet",
    "follow",
    "last_attempt",
    "note_lost_owner",
    "now",
    "own_identity",
    "own_name",
    "run_state",
]


def __getattr__(name: str) -> Any:
    # The store imports SQLAlchemy, which workers and `--help` do without.
    if name == "ResultStore":
        from resnet_cluster.results.store import ResultStore

        return ResultStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
