"""The folder of a run: what lies where.

<run>/events/            what happened (the truth)
<run>/checkpoints/       to go on from
<run>/weights.pt         the weights it ended with
<run>/code/              the Python files of a network of the user's
<run>/logs/              what workers and Ray printed, one file each
<run>/ray/               Ray Train's own state; nothing reads it
<run>/stop-001           the flag that asks attempt 1 to stop
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_cluster.files import write_whole
from resnet_cluster.spec import Code


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run.

    Args:
        path: the run's folder, on storage that every worker reaches.
    """

    path: Path

    @property
    def code(self) -> Path:
        """The files of a network of the user's, as they were when the run was asked for."""
        return self.path / "code"

    def keep_code(self, code: Code) -> None:
        """Copy them; an installed package must be installed wherever the run goes on."""
        for file, content in ({} if code.is_installed else code.contents).items():
            (self.code / file).parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.code / file, content)

    @property
    def ray(self) -> Path:
        """Where Ray Train keeps its state."""
        return self.path / "ray"

    @property
    def logs(self) -> Path:
        """The folder of log files."""
        return self.path / "logs"

    def worker_log(self, attempt: int, rank: int) -> Path:
        """What a worker printed."""
        return self.logs / f"attempt-{attempt:03d}-rank-{rank:03d}.log"

    def measuring_log(self, rank: int) -> Path:
        """What a worker printed that measured the run after its end."""
        return self.logs / f"measuring-rank-{rank:03d}.log"

    def driver_log(self, attempt: int) -> Path:
        """What Ray printed in the driver."""
        return self.logs / f"attempt-{attempt:03d}-driver.log"

    def request_stop(self, attempt: int) -> None:
        """Raise the flag that asks an attempt to stop."""
        write_whole(self._stop_flag(attempt), b"")

    def is_stop_requested(self, attempt: int) -> bool:
        """Whether the flag is up."""
        return self._stop_flag(attempt).exists()

    def _stop_flag(self, attempt: int) -> Path:
        return self.path / f"stop-{attempt:03d}"
