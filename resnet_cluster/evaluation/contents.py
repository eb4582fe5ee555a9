"""What a network said of each view of each image, kept so that nothing need be measured twice.

<folder>/contents.json     what was measured, and the files with their SHA-256; written last
<folder>/000-of-002.npy    one rank's images, a record each, in the order of their numbers

Log-probabilities are float16. The five best of each view lie beside them in float32 and take their
places when they are read, so that rounding decides between no two of them. The folder is a cache:
it may be removed, and measuring again makes it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resnet_cluster.errors import IntegrityError
from resnet_cluster.files import sha256_of, write_whole

FOLDER = "predictions"
"""In a run's folder; one folder for each protocol, split and rule of selection in it."""

_CONTENTS = "contents.json"
_NUM_BEST = 5


def predictions_folder(run_dir: Path, protocol: str, split: str, select: str) -> Path:
    """Where a run's predictions are, if it has them."""
    return run_dir / FOLDER / f"{protocol}-{split}-{select}"


class PredictionsFile(BaseModel):
    """One rank's images."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^\d{3,}-of-\d{3,}\.npy$")
    sha256: str
    num_bytes: int = Field(ge=0)


class Contents(BaseModel):
    """What a folder of predictions holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    protocol: str
    split: str
    select: str
    step: int
    """Of the weights."""
    dataset_sha256: str
    num_images: int = Field(ge=1)
    num_views: int = Field(ge=1)
    num_classes: int = Field(ge=1)
    files: tuple[PredictionsFile, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return self.num_images * record_type(self.num_views, self.num_classes).itemsize


def record_type(num_views: int, num_classes: int) -> np.dtype[Any]:
    """One image: its number, its class, and what the network said of it."""
    num_best = min(_NUM_BEST, num_classes)
    return np.dtype(
        [
            ("sample_id", "<i8"),
            ("label", "<i4"),
            ("log_probs", "<f2", (num_views, num_classes)),
            ("best", "<i4", (num_views, num_best)),
            ("best_log_probs", "<f4", (num_views, num_best)),
            # Which of the best of the averaged scores is the image's class, if one is.
            ("hits", "?", (num_best,)),
        ]
    )


def seal_predictions(folder: Path, contents: Contents) -> None:
    """Say that the files of `contents` are whole, and remove those of another time.

    Raises:
        OSError: the disk cannot be written.
    """
    write_whole(folder / _CONTENTS, contents.model_dump_json(indent=1).encode() + b"\n")
    kept = {_CONTENTS, *(file.name for file in contents.files)}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink(missing_ok=True)


def break_seal(folder: Path) -> None:
    """Say that what is in the folder is no longer to be read."""
    (folder / _CONTENTS).unlink(missing_ok=True)


def read_contents(folder: Path) -> Contents | None:
    """What the folder holds; None where it holds nothing whole, or nothing that can be read."""
    try:
        return Contents.model_validate_json((folder / _CONTENTS).read_bytes())
    except (OSError, ValidationError):
        return None


def open_records(folder: Path, file: PredictionsFile, kind: np.dtype[Any]) -> NDArray[Any]:
    """The images of a file, mapped.

    Raises:
        IntegrityError: it is not what was written.
    """
    path = folder / file.name
    try:
        if sha256_of(path) != file.sha256:
            raise damaged(folder, f"the SHA-256 of {file.name} differs")
        records: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise damaged(folder, f"{file.name} cannot be read") from error
    if records.dtype != kind or records.ndim != 1:
        raise damaged(folder, f"{file.name} does not hold what the contents say")
    return records


def damaged(folder: Path, why: str) -> IntegrityError:
    """What to raise of a folder whose content is not what was written."""
    return IntegrityError(
        f"{folder}: {why}",
        mend="remove the folder, and measure the run again with `resnet-cluster evaluate`",
    )


def total_bytes(folders: Sequence[Path]) -> int:
    """Size of whole predictions in several folders."""
    found = (read_contents(folder) for folder in folders)
    return sum(contents.num_bytes for contents in found if contents)
