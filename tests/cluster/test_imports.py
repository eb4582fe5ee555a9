"""What Ray Train's controller has to import before it asks for workers: not torch."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
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


def test_what_passes_through_the_controller_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
