"""What a user asks for: frozen, validated, hashable values, and the strict reader of job files."""

from __future__ import annotations

from resnet_cluster.spec.base import Spec
from resnet_cluster.spec.code import Code, find_code
from resnet_cluster.spec.data import (
    AugmentSpec,
    DataSpec,
    GrowSpec,
    RandomResizedSpec,
    ShorterSideJitterSpec,
    ViewSpec,
)
from resnet_cluster.spec.job import (
    NAME_PATTERN,
    Average,
    EvaluateSpec,
    JobSpec,
    ProtocolKind,
    ResourceSpec,
)
from resnet_cluster.spec.key import PIXELS_VERSION, TRAINING_SEMANTICS, recipe_hash, run_key
from resnet_cluster.spec.lengths import StepLengths, crop_side, schedule_in_steps
from resnet_cluster.spec.load import (
    LoadedJob,
    SplitJob,
    load_job,
    load_resolved,
    load_split,
    split_resolved,
)
from resnet_cluster.spec.model import (
    CustomNetSpec,
    Family,
    ModelSpec,
    PaperNetSpec,
    Shortcut,
    TorchvisionNetSpec,
    Variant,
)
from resnet_cluster.spec.protocol import (
    PAD,
    Centre,
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
    "TRAINING_SEMANTICS",
    "AugmentSpec",
    "Average",
    "Centre",
    "Code",
    "ConstantSchedule",
    "CopiedJobs",
    "CosineSchedule",
    "CustomNetSpec",
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
    "PaperNetSpec",
    "PlateauSchedule",
    "Protocol",
    "ProtocolKind",
    "RandomResizedSpec",
    "ResourceSpec",
    "Shortcut",
    "ShorterSideJitterSpec",
    "SingleView",
    "Spec",
    "SplitJob",
    "StepLengths",
    "StepSchedule",
    "TenCrops",
    "TorchvisionNetSpec",
    "TrainSpec",
    "Variant",
    "ViewSpec",
    "build_protocol",
    "copy_jobs",
    "crop_side",
    "find_code",
    "load_job",
    "load_resolved",
    "load_split",
    "load_yaml",
    "protocols",
    "recipe_hash",
    "run_key",
    "schedule_in_steps",
    "shipped_jobs",
    "split_resolved",
]
