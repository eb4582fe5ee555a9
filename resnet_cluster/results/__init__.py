"""Results: events as the truth, and the store, an index of them that can be rebuilt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resnet_cluster.results.analyses import (
    EnsembleRecord,
    LayerNorms,
    LayerStd,
    NormsRecord,
    ParityRecord,
    ResponsesRecord,
    SearchRecord,
)
from resnet_cluster.results.base import (
    SCHEMA_VERSION,
    Errors,
    Record,
    now,
)
from resnet_cluster.results.events import EventLog
from resnet_cluster.results.following import follow
from resnet_cluster.results.outline import FigureOutline, RunOutline, Setup
from resnet_cluster.results.ownership import (
    Heartbeat,
    last_attempt,
    note_lost_owner,
    own_identity,
    own_name,
)
from resnet_cluster.results.records import (
    AnyRecord,
    ArtefactRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptTraining,
    BadSampleRecord,
    DatasetFacts,
    EpochRecord,
    EvaluationRecord,
    ImportedWeights,
    RunRecord,
    RunState,
)
from resnet_cluster.results.summary import (
    AnyFigure,
    AnyRun,
    Attempt,
    RunSummary,
    UsesOfTestSet,
    run_state,
)
from resnet_cluster.results.sweep_records import (
    SweepEstimateRecord,
    SweepOutcomeRecord,
    SweepPlanRecord,
    SweepRecord,
    SweepTrial,
    TrialEstimate,
    TrialOutcome,
    TrialStoppedRecord,
)
from resnet_cluster.results.sweeps import (
    SweepSummary,
    find_sweep,
    find_trial,
    load_sweep,
    load_sweeps,
    named_sweep,
)

if TYPE_CHECKING:
    from resnet_cluster.results.store import ResultStore

__all__ = [
    "SCHEMA_VERSION",
    "AnyFigure",
    "AnyRecord",
    "AnyRun",
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
    "FigureOutline",
    "Heartbeat",
    "ImportedWeights",
    "LayerNorms",
    "LayerStd",
    "NormsRecord",
    "ParityRecord",
    "Record",
    "ResponsesRecord",
    "ResultStore",
    "RunOutline",
    "RunRecord",
    "RunState",
    "RunSummary",
    "SearchRecord",
    "Setup",
    "SweepEstimateRecord",
    "SweepOutcomeRecord",
    "SweepPlanRecord",
    "SweepRecord",
    "SweepSummary",
    "SweepTrial",
    "TrialEstimate",
    "TrialOutcome",
    "TrialStoppedRecord",
    "UsesOfTestSet",
    "find_sweep",
    "find_trial",
    "follow",
    "last_attempt",
    "load_sweep",
    "load_sweeps",
    "named_sweep",
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
