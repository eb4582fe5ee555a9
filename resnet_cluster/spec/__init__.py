"""What a user asks for: frozen, validated, hashable values, and the strict reader of job files."""

from __future__ import annotations

from resnet_cluster.spec.base import Spec
from resnet_cluster.spec.job import (
    NAME_PATTERN,
    AugmentSpec,
    DataSpec,
    EvaluateSpec,
    JobSpec,
    ModelSpec,
    ResourceSpec,
)
from resnet_cluster.spec.key import TRAINING_SEMANTICS, recipe_hash, run_key
from resnet_cluster.spec.lengths import StepLengths, schedule_in_steps
from resnet_cluster.spec.load import LoadedJob, load_job, load_resolved
from resnet_cluster.spec.reader import Document, load_yaml
from resnet_cluster.spec.shipped import CopiedJobs, copy_jobs, shipped_jobs
from resnet_cluster.spec.source import JobSource
from resnet_cluster.spec.train import (
    ConstantSchedule,
    CosineSchedule,
    EmaSpec,
    ErrorWarmup,
    LinearSchedule,
    LinearWarmup,
    PlateauSchedule,
    StepSchedule,
    TrainSpec,
)

__all__ = [
    "NAME_PATTERN",
    "TRAINING_SEMANTICS",
    "AugmentSpec",
    "ConstantSchedule",
    "CopiedJobs",
    "CosineSchedule",
    "DataSpec",
    "Document",
    "EmaSpec",
    "ErrorWarmup",
    "EvaluateSpec",
    "JobSource",
    "JobSpec",
    "LinearSchedule",
    "LinearWarmup",
    "LoadedJob",
    "ModelSpec",
    "PlateauSchedule",
    "ResourceSpec",
    "Spec",
    "StepLengths",
    "StepSchedule",
    "TrainSpec",
    "copy_jobs",
    "load_job",
    "load_resolved",
    "load_yaml",
    "recipe_hash",
    "run_key",
    "schedule_in_steps",
    "shipped_jobs",
]
