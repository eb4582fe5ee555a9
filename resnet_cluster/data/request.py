"""What passes between `prepare` and the process that converts, as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConversionRequest:
    """What to convert, into which folder.

    Attributes:
        source: a path or a word; see `open_source`.
        folder: an existing, empty folder for the betons, the mean and the manifest.
        size: side to resize and crop to; None where the images are square and equal.
        seed: of the split of a source that has none.
    """

    source: str
    folder: str
    name: str
    size: int | None
    seed: int


@dataclass(frozen=True)
class PreparationPlan:
    """What a preparation will make, known before its first image is converted.

    Attributes:
        num_train, num_test: images of the splits.
        test_split: `source`, or `holdout` where one image in five was held out by class and seed.
        side: height and width of every image.
        num_bytes: disk that the betons take.
        free_bytes: disk that was free for them.
        num_ignored: files of the source that are not images.
    """

    num_train: int
    num_test: int
    num_classes: int
    test_split: str
    side: int
    num_bytes: int
    free_bytes: int
    num_ignored: int


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
