"""What is quick because it does not import torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONTROLLER = """
import pickle, sys
from pathlib import Path
from resnet_cluster.cluster.process_group import ProcessGroupConfig
from resnet_cluster.cluster.progress import ProgressBoard
from resnet_cluster.cluster.task import WorkerTask
task = WorkerTask(
    run_dir=Path("run"), attempt=1, job={}, dataset_folder=Path("data"), num_cpus=1,
    board=ProgressBoard(None, "r-1"),
)
pickle.loads(pickle.dumps([task, ProcessGroupConfig(timeout_s=1)]))
print(sorted({"torch", "ffcv", "numba", "sqlalchemy"} & set(sys.modules)))
"""

STATUS = """
import sys
import resnet_cluster.cli.app, resnet_cluster.cli.estimates, resnet_cluster.cli.sweep_seeds
import resnet_cluster.cluster.metering, resnet_cluster.cluster.sweep_plan
print(sorted({"torch", "ffcv", "numba", "ray"} & set(sys.modules)))
"""


@pytest.mark.parametrize("program", [CONTROLLER, STATUS])
def test_it_is_light(program: str) -> None:
    """What passes through Ray Train's controller, which asks for workers then; `status` of a
    sweep."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
