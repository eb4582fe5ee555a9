"""What a user asks for: frozen, validated, hashable values, and the strict reader of job files."""

from __future__ import annotations

from resnet_cluster.spec.base import Spec
from resnet_cluster.spec.data import (
    TORCHVISION_MEAN,
    TORCHVISION_STD,
    AugmentSpec,
    DataSpec,
    GrowSpec,
    Normalize,
    RandomResizedSpec,
    ShorterSideJitterSpec,
    ViewSpec,
)
from resnet_cluster.spec.job import (
    NAME_PATTERN,
    Average,
    EvaluateSpec,
    Family,
    JobSpec,
    ModelSpec,
    ProtocolKind,
    ResourceSpec,
)
from resnet_cluster.spec.key import (
    PIXELS_VERSION,
    TRAINING_SEMANTICS,
    imported_key,
    recipe_hash,
    run_key,
)
from resnet_cluster.spec.lengths import StepLengths, crop_side, schedule_in_steps
from resnet_cluster.spec.load import LoadedJob, load_carried_job, load_job, load_resolved
from resnet_cluster.spec.protocol import (
    PAD,
    Flip,
    MultiScale,
    Protocol,
    SingleView,
    TenCrops,
    build_protocol,
    protocols,
)
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
    "PAD",
    "PIXELS_VERSION",
    "TORCHVISION_MEAN",
    "TORCHVISION_STD",
    "TRAINING_SEMANTICS",
    "AugmentSpec",
    "Average",
    "ConstantSchedule",
    "CopiedJobs",
    "CosineSchedule",
    "DataSpec",
    "Document",
    "EmaSpec",
    "ErrorWarmup",
    "EvaluateSpec",
    "Family",
    "Flip",
    "GrowSpec",
    "JobSource",
    "JobSpec",
    "LinearSchedule",
    "LinearWarmup",
    "LoadedJob",
    "ModelSpec",
    "MultiScale",
    "Normalize",
    "PlateauSchedule",
    "Protocol",
    "ProtocolKind",
    "RandomResizedSpec",
    "ResourceSpec",
    "ShorterSideJitterSpec",
    "SingleView",
    "Spec",
    "StepLengths",
    "StepSchedule",
    "TenCrops",
    "TrainSpec",
    "ViewSpec",
    "build_protocol",
    "copy_jobs",
    "crop_side",
    "imported_key",
    "load_carried_job",
    "load_job",
    "load_resolved",
    "load_yaml",
    "protocols",
    "recipe_hash",
    "run_key",
    "schedule_in_steps",
    "shipped_jobs",
]
