"""What the commands on a finished run's network share: its weights, a device, a progress bar."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    import torch

    from resnet_cluster.results import ArtefactRecord, RunSummary
    from resnet_cluster.training import LocalContext


def weights_file(run: RunSummary) -> ArtefactRecord:
    """The weights that a run ended with.

    Raises:
        RunNotFinishedError: it has none yet.
    """
    from resnet_cluster.errors import RunNotFinishedError

    for artefact in run.artefacts:
        if artefact.name == "weights":
            return artefact
    raise RunNotFinishedError(
        f"{run.name} ({run.run_id}) is {run.state} and has no weights yet",
        mend=f"finish it with `resnet-cluster resume {run.name}`",
    )


def weights_step(run: RunSummary) -> int:
    """The step of the weights that a run ended with; selected ones may be older than its end."""
    steps = [evaluation.step for evaluation in run.evaluations]
    return steps[0] if steps else run.record.num_steps


def read_weights(run: RunSummary) -> dict[str, torch.Tensor]:
    """Their content.

    Raises:
        RunNotFinishedError: there are none yet.
        IntegrityError: the file is absent or was changed.
    """
    from resnet_cluster.checkpoints import load_weights

    file = weights_file(run)
    return load_weights(run.run_dir / file.path, sha256=file.sha256)


def own_context(run: RunSummary) -> LocalContext:
    """This process as the only one that works on a run: on a GPU where there is one."""
    import torch

    from resnet_cluster.cluster.run_folder import RunFolder
    from resnet_cluster.nets import offer_code
    from resnet_cluster.training import LocalContext

    offer_code(RunFolder(run.run_dir).code)
    return LocalContext(
        run_dir=run.run_dir,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        loader_threads=len(os.sched_getaffinity(0)),
    )


@contextlib.contextmanager
def counting(
    stage: str, name: str, *, err: TextIO | None = None
) -> Iterator[Callable[[int, int], None]]:
    """A bar for work on a network; gives what is called with what is done, and all.

    Args:
        stage: what is counted.
        name: of what is worked on.
        err: where people read; stderr by default.
    """
    from resnet_cluster.cli.display import preparing
    from resnet_cluster.data import Progress

    began = time.monotonic()
    with preparing(err) as show:
        yield lambda done, total: show(Progress(stage, done, total, time.monotonic() - began, name))
