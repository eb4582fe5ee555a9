"""Jobs and ablations that come with the package: `jobs/` of the source tree, in the wheel too."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from resnet_cluster.files import create_whole

_PACKAGE = Path(__file__).resolve().parent.parent


class CopiedJobs(NamedTuple):
    """What became of each job file that ships."""

    written: list[Path]
    kept: list[Path]
    """Files that were there already; they are left as they are."""


def shipped_jobs() -> list[Path]:
    """The job files that ship, by name."""
    return sorted(_folder().glob("*.yaml"))


def shipped_ablations() -> list[Path]:
    """The ablations that ship, by name; they name the jobs that ship from where they lie."""
    return sorted((_folder() / "ablations").glob("*.yaml"))


def _folder() -> Path:
    # The wheel has them inside the package; a source tree, installed editable or not, beside it.
    folders = (_PACKAGE / "jobs", _PACKAGE.parent / "jobs")
    return next(folder for folder in folders if folder.is_dir())


def copy_jobs(folder: Path) -> CopiedJobs:
    """Copy the jobs and ablations that ship into `folder`, which is made where it is missing.

    Raises:
        OSError: the folder cannot be made or written.
    """
    copied = CopiedJobs([], [])
    for job in (*shipped_jobs(), *shipped_ablations()):
        target = folder / job.relative_to(_folder())
        target.parent.mkdir(parents=True, exist_ok=True)
        is_new = create_whole(target, job.read_bytes())
        (copied.written if is_new else copied.kept).append(target)
    return copied
