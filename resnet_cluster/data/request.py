"""What passes between `prepare` and the process that converts, as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from resnet_cluster.data.encoding import Encoding

OnBad = Literal["fail", "skip"]


@dataclass(frozen=True)
class ConversionRequest:
    """What to convert, into which folder.

    Attributes:
        source: a path or a word; see `open_source`.
        folder: an existing, empty folder for the betons, the mean and the manifest.
        size: side to resize and crop to; None where the images are square and equal.
        seed: of the split of a source that has none.
        encoding: the form of images of many sizes; None makes raw squares.
        limit: images of each split at most; None takes all.
        on_bad: what an image that cannot be kept does: `fail` ends the conversion.
    """

    source: str
    folder: str
    name: str
    size: int | None
    seed: int
    encoding: Encoding | None = None
    limit: int | None = None
    on_bad: OnBad = "fail"

    def as_json(self) -> dict[str, Any]:
        """The request, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The request that `as_json` gave."""
        encoding = content["encoding"] and Encoding(**content["encoding"])
        return cls(**{**content, "encoding": encoding})


@dataclass(frozen=True)
class PreparationPlan:
    """What a preparation will make, known before its first image is converted.

    Attributes:
        recognised: what the source was taken for, in words.
        num_unseen_classes: classes without a training image, where a limit leaves them out.
        num_train, num_test: images of the splits.
        test_split: `source`, or `holdout` where one image in five was held out by class and seed.
        form: how the images will be kept, in words.
        num_bytes: disk that the betons take; an estimate where the images are of many sizes.
        duration_s: how long it will take, estimated from a few images; None where unknown.
        free_bytes: disk that was free for them.
        num_ignored: files of the source that are not images.
    """

    recognised: str
    num_train: int
    num_test: int
    num_classes: int
    num_unseen_classes: int
    test_split: str
    form: str
    num_bytes: int
    free_bytes: int
    num_ignored: int
    duration_s: float | None


@dataclass(frozen=True)
class Progress:
    """How far a stage of a preparation is.

    Attributes:
        stage: `converting` for images; before it, what is done to find them.
        done, total: images while converting, else bytes or files; total is 0 where unknown.
        elapsed_s: seconds since the stage began.
        current: the image or archive at hand.
    """

    stage: str
    done: int
    total: int
    elapsed_s: float
    current: str

    @property
    def rate(self) -> float:
        """Images (or bytes, or files) a second."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at this rate; None where nothing is known."""
        if self.total == 0 or (self.rate == 0 and self.done < self.total):
            return None
        return (self.total - self.done) / self.rate if self.done < self.total else 0.0
