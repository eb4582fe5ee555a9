"""Prepare a data set under a name: whole, or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet_cluster.data.conversion_plan import AS_IT_COMES
from resnet_cluster.data.encoding import MAX_SQUARE, Encoding
from resnet_cluster.data.imagenet_labels import is_imagenet
from resnet_cluster.data.manifest import (
    KNOWN_SOURCES,
    MANIFEST_NAME,
    Manifest,
    check_name,
    read_manifest,
)
from resnet_cluster.data.opening import is_same_source, source_path
from resnet_cluster.data.request import ConversionRequest, OnBad, PreparationPlan, Progress
from resnet_cluster.data.sources import DISK_FULL
from resnet_cluster.data.supervise import STALL_DEADLINE_S, run_conversion
from resnet_cluster.errors import IntegrityError, PreflightError, UsageError
from resnet_cluster.files import sync
from resnet_cluster.home import data_root

MIN_SIDE, MAX_CAP = 8, 8192


@dataclass(frozen=True)
class Prepared:
    """A data set that is there now.

    Attributes:
        manifest: what it is.
        is_new: False where it had been prepared before, with the same source and settings.
    """

    manifest: Manifest
    is_new: bool


def prepare(
    source: str,
    *,
    name: str,
    out: Path | None = None,
    image_size: int | None = None,
    encoding: Encoding | None = None,
    seed: int = 0,
    limit: int | None = None,
    on_bad: OnBad = "fail",
    on_plan: Callable[[PreparationPlan], None] = lambda plan: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stall_s: float = STALL_DEADLINE_S,
) -> Prepared:
    """Convert images to a beton for each split, with a manifest, under a name jobs use.

    All is written to a hidden folder beside its place, which is renamed at the end: what is
    interrupted or fails leaves nothing under the name.

    Args:
        source: a folder, a tar archive, or a word; see `open_source`.
        name: the name, of a-z, 0-9, _ and -.
        out: the data set's own folder, on another disk say; the name then links to it.
            By default it is the name under the data folder.
        image_size: images are resized to it by their shorter side, and cropped at the centre;
            images that are square and of one size need none.
        encoding: the form of images of many sizes; None makes raw squares, or of ImageNet's
            photographs JPEG with the bytes of the originals.
        seed: of the test split held out of a source that has none.
        limit: images of each split at most, evenly over its classes; for a trial.
        on_bad: what an image that cannot be kept does: `fail` ends the preparation, `skip` leaves
            it out, and the manifest names it.
        on_plan: given what will be made, before the first image is converted.
        on_progress: called several times a second.
        stall_s: seconds without progress after which the conversion is ended.

    Raises:
        UsageError: the name, source or size cannot be meant; the images need a size; or the name
            is taken by another data set.
        PreflightError: the disk is too full or cannot be written; a download failed; or another
            process is preparing this name.
        IntegrityError: the source has an image that cannot be decoded, or stood still.
    """
    check_name(name)
    _check_sizes(image_size, encoding)
    _check_limit(limit)
    if source not in KNOWN_SOURCES:
        source = str(source_path(source))
    place = data_root() / name
    target = place if out is None else Path(os.path.abspath(out.expanduser()))
    request = ConversionRequest(
        source=source,
        folder=str(target.with_name(f".{target.name}.part")),
        name=name,
        size=image_size,
        seed=seed,
        encoding=encoding,
        limit=limit,
        on_bad=on_bad,
    )
    with _disk_errors(target.parent), _locked(place, target):
        found = _existing(place, target)
        if found is not None:
            _check_same(found, request, on_progress)
        else:
            with _part(Path(request.folder)) as part:
                run_conversion(request, on_plan=on_plan, on_progress=on_progress, stall_s=stall_s)
                _publish(part, target)
        if not os.path.lexists(place):
            place.symlink_to(target)
            sync(place.parent)
    return Prepared(read_manifest(place), is_new=found is None)


def _check_sizes(image_size: int | None, encoding: Encoding | None) -> None:
    if image_size is not None and encoding is not None:
        raise UsageError(
            "--size makes raw squares, and --mode keeps the shapes of images",
            mend="give one of them; --shorter-side and --longer-side go with --mode",
        )
    caps = (encoding.shorter_side, encoding.longer_side) if encoding else ()
    for side, most in ((image_size, MAX_SQUARE), *((cap, MAX_CAP) for cap in caps)):
        if side is not None and not MIN_SIDE <= side <= most:
            raise UsageError(
                f"images cannot be resized to {side} pixels",
                mend=f"give a number from {MIN_SIDE} to {most}",
            )


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise UsageError(f"no data set has {limit} images", mend="give a --limit of 1 or more")


def _existing(place: Path, target: Path) -> Manifest | None:
    if place.is_symlink() and not place.exists():
        raise IntegrityError(
            f"{place}: its folder {place.readlink()} is gone", mend=f"rm {place}, then prepare it"
        )
    for folder in (place, target):
        if (folder / MANIFEST_NAME).exists():
            return read_manifest(folder)
    for folder in (place, target):
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsageError(
                f"{folder}: is there already and is not a prepared data set",
                mend="choose another name or folder, or remove it",
            )
    return None


def _check_same(
    found: Manifest, request: ConversionRequest, on_progress: Callable[[Progress], None]
) -> None:
    def tick(stage: str, done: int, total: int) -> None:
        on_progress(Progress(stage, done, total, 0.0, request.source))

    differing = [
        what
        for what, same in (
            ("source", is_same_source(request.source, found.source, tick)),
            ("--size", found.requested_size == request.size),
            ("form of the images", _encoding_of(found) == _encoding_for(found, request)),
            ("--limit", found.limit == request.limit),
            ("--seed", found.test_split == "source" or found.seed == request.seed),
        )
        if not same
    ]
    if differing:
        raise UsageError(
            f"{found.folder}: is a data set prepared from {found.source.description} "
            f"with another {' and '.join(differing)}",
            mend=f"choose another name with --as, or remove {found.folder}",
        )


def _encoding_for(found: Manifest, request: ConversionRequest) -> Encoding | None:
    """The form that the request would give a source with those classes."""
    if request.encoding is None and request.size is None and is_imagenet(found.classes):
        return AS_IT_COMES
    return request.encoding


def _encoding_of(manifest: Manifest) -> Encoding | None:
    """The form that images of many sizes were asked for in."""
    if (storage := manifest.storage) is None:
        return None
    return Encoding(
        mode=manifest.mode,
        shorter_side=storage.shorter_side,
        longer_side=storage.longer_side,
        quality=storage.quality,
        jpeg_share=storage.jpeg_share,
    )


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno in DISK_FULL else error.strerror
        raise PreflightError(
            f"{error.filename or folder}: {what}", mend="name another folder with --out"
        ) from error


@contextlib.contextmanager
def _locked(*places: Path) -> Iterator[None]:
    """One preparation of a place at a time; the lock of a dead process is free."""
    with contextlib.ExitStack() as locks:
        for place in dict.fromkeys(places):
            place.parent.mkdir(parents=True, exist_ok=True)
            path = place.with_name(f".{place.name}.lock")
            file = locks.enter_context(path.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever held it may have removed it since it was opened here.
                is_current = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except (BlockingIOError, FileNotFoundError):
                is_current = False
            if not is_current:
                raise PreflightError(
                    f"{place}: another process is preparing it", mend="wait until it has ended"
                )
            locks.callback(path.unlink, missing_ok=True)
        yield


@contextlib.contextmanager
def _part(part: Path) -> Iterator[Path]:
    """A new folder that is gone afterwards; under the lock, one that is there is a dead one's."""
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _publish(part: Path, target: Path) -> None:
    sync(part)
    os.rename(part, target)
    sync(target.parent)
