"""Ablations: a job, the keys of it that vary, and the trials that follow from them.

An ablation file names a job file and says `vary`; a command line may vary a job file's keys without
one. Every combination of the values is a trial (or, zipped, the first of each with the first of the
others), and so is every seed of it. A trial is a job like any other.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnet_cluster.errors import UsageError
from resnet_cluster.spec.job import NAME_PATTERN
from resnet_cluster.spec.load import LoadedJob, load_changed
from resnet_cluster.spec.overrides import Override, flag_override
from resnet_cluster.spec.reader import Document
from resnet_cluster.spec.source import KeyPath, Value, dotted_key, printable
from resnet_cluster.spec.trial_name import trial_name

_LIKE_AN_ID = re.compile(r"[rs]-[0-9a-f]{4}")
MAX_SEEDS = 1000
MAX_NAME_LENGTH = 40
"""Of an ablation: its trials' names begin with it."""
SEED: KeyPath = ("seed",)
NAME: KeyPath = ("name",)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A key that varies, and its values in order."""

    path: KeyPath
    values: tuple[Override, ...]

    @property
    def key(self) -> str:
        """`model.depth`."""
        return dotted_key(self.path)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A combination of values, and one of its seeds."""

    values: tuple[Override, ...]
    """One of each axis, in their order."""
    seed: int
    """Counted from 0, to be added to the job's own."""

    @property
    def said(self) -> dict[str, Value]:
        """The values by dotted key, as they were written."""
        return {dotted_key(each.path): each.value for each in self.values}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A job of an ablation, under a name of its own."""

    point: Point
    loaded: LoadedJob


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What an ablation varies."""

    name: str
    file: Document
    """The job file."""
    changes: tuple[Override, ...]
    """Made to it in every trial."""
    axes: tuple[Axis, ...]
    is_zipped: bool
    """Whether the axes are walked together, rather than combined."""
    num_seeds: int

    @property
    def num_trials(self) -> int:
        """Trials there are, valid or not; a product, which is known without making them."""
        lengths = [len(axis.values) for axis in self.axes]
        return (min(lengths, default=1) if self.is_zipped else math.prod(lengths)) * self.num_seeds

    def points(self) -> Iterator[Point]:
        """Every combination, the seeds of one together."""
        values = [axis.values for axis in self.axes]
        combined = zip(*values, strict=True) if self.is_zipped else itertools.product(*values)
        for chosen in combined:
            for seed in range(self.num_seeds):
                yield Point(values=chosen, seed=seed)

    def base(self) -> LoadedJob:
        """The job that every trial changes.

        Raises:
            JobError: it cannot be meant.
        """
        return load_changed(self.file, self.changes)

    def trial(self, point: Point, base_seed: int) -> Trial:
        """The job of a point.

        Args:
            point: one of `points`.
            base_seed: that of the base.

        Raises:
            JobError: it cannot be meant; the error names the value's place.
        """
        name = trial_name(self.name, point.said, point.seed if self.num_seeds > 1 else None)
        own = (
            flag_override("--seeds", SEED, base_seed + point.seed),
            flag_override("--name", NAME, name),
        )
        return Trial(
            point=point, loaded=load_changed(self.file, (*self.changes, *point.values, *own))
        )


def build_ablation(
    name: str,
    file: Document,
    *,
    changes: tuple[Override, ...],
    axes: Mapping[KeyPath, Axis],
    is_zipped: bool,
    num_seeds: int,
) -> Ablation:
    """An ablation whose axes fit together.

    Raises:
        UsageError: nothing varies, an axis has no value or one twice, zipped axes differ in their
            lengths, or one lies within another.
    """
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > MAX_NAME_LENGTH:
        raise UsageError(
            f"{printable(name)!r} is no name of an ablation",
            mend=f"give it a --name: up to {MAX_NAME_LENGTH} of a-z, 0-9, _ and -, beginning with "
            "a letter or digit",
        )
    if _LIKE_AN_ID.match(name):
        raise UsageError(f"{name!r} looks like an id", mend="give the sweep another --name")
    if not axes and num_seeds == 1:
        raise UsageError(
            "nothing varies",
            mend="say what does: --depths 20,56, --shortcuts none,A, --vary train.lr=0.05,0.1 or "
            "--seeds 5",
        )
    for axis in axes.values():
        _check_axis(axis, axes)
    lengths = {axis.key: len(axis.values) for axis in axes.values()}
    if is_zipped and len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise UsageError(
            f"axes that are zipped have as many values each, and these have: {told}",
            mend="give each as many, or combine them without --zip (`combine: grid` in a file)",
        )
    _check_repeated(axes, is_zipped=is_zipped)
    return Ablation(
        name=name,
        file=file,
        changes=changes,
        axes=tuple(axes.values()),
        is_zipped=is_zipped,
        num_seeds=num_seeds,
    )


def _check_axis(axis: Axis, axes: Mapping[KeyPath, Axis]) -> None:
    if axis.path in (SEED, NAME):
        raise UsageError(
            f"{axis.key} is no key to vary",
            mend="--seeds N takes N seeds; every trial has a name of its own",
        )
    if not axis.values:
        raise UsageError(f"{axis.key} has no values to take", mend="give one or more")
    for other in axes:
        if len(other) < len(axis.path) and axis.path[: len(other)] == other:
            raise UsageError(
                f"{axis.key} lies within {dotted_key(other)}, which varies too",
                mend="vary one of them; a section is replaced as a whole",
            )


def _check_repeated(axes: Mapping[KeyPath, Axis], *, is_zipped: bool) -> None:
    """Refuse a trial that would be there twice."""
    said = {axis.key: [each.value for each in axis.values] for axis in axes.values()}
    if is_zipped:
        said = {", ".join(said): [list(values) for values in zip(*said.values(), strict=True)]}
    for what, values in said.items():
        if repeated := _repeated(values):
            raise UsageError(
                f"{what}: given twice: {printable(repeated)}",
                mend="give each once; --seeds N repeats all of them with other seeds",
            )


def _repeated(values: Sequence[Value]) -> str | None:
    """JSON of the first value that is there twice; 1 and true are two values."""
    seen: set[str] = set()
    for value in values:
        text = json.dumps(value)
        if text in seen:
            return text
        seen.add(text)
    return None
