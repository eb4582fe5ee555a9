"""What a prepared data set is: `manifest.json` beside its betons."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, ValidationError

from resnet_cluster.data.manifest_fields import (
    SCHEMA_VERSION,
    ManifestFields,
    Sha256,
    SplitName,
    SplitRecord,
)
from resnet_cluster.data.writer import PAGE_BYTES, page_bytes
from resnet_cluster.errors import IntegrityError, PreflightError, UsageError
from resnet_cluster.files import sha256_of, write_whole
from resnet_cluster.home import data_root

MANIFEST_NAME = "manifest.json"
MEAN_NAME = "mean.npy"
MAX_MANIFEST_BYTES = 16 << 20
KNOWN_SOURCES = ("digits", "cifar10", "cifar100", "fashion_mnist")
_PLACES = {"imagenet": "/data/imagenet"}
_COSTS = {
    "imagenet": "147 GB of disk; 80 minutes on 2 cores",
    "cifar10": "170 MB to download, 185 MB of disk",
    "cifar100": "170 MB to download, 185 MB of disk",
}
"""What preparing takes: ImageNet's by the measurements in docs/data.md, for 1.33M images."""
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Manifest(ManifestFields):
    """A prepared data set.

    `checksum` covers every other field, so that an edited manifest is told from a damaged one.
    """

    checksum: Sha256
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The folder this manifest was read from."""
        return self._folder

    @property
    def sha256(self) -> str:
        """The data set's identity: its pixels, labels and classes, not its name or its source."""
        return _digest([self.train.sha256, self.test.sha256, list(self.classes)])

    @property
    def page_bytes(self) -> int:
        """Of a page of its betons, in which each image lies."""
        return PAGE_BYTES if self.image_size is None else page_bytes(3 * self.image_size**2)

    def beton(self, split: SplitName) -> Path:
        """The file of a split."""
        return self._folder / f"{split}.beton"

    def split(self, split: SplitName) -> SplitRecord:
        """What is recorded about a split."""
        return self.train if split == "train" else self.test

    def pixel_mean(self) -> NDArray[np.float32]:
        """The mean image of the whole training split: float32 [side, side, 3], 0 to 255.

        Raises:
            IntegrityError: `mean.npy` is missing or not the one that was written.
        """
        return self._array(self._folder / MEAN_NAME, self.mean_sha256)

    def checksums(self, split: SplitName) -> NDArray[np.uint32] | None:
        """The CRC-32 of each image of a split, uint32 [n].

        None where the data set was prepared before there were any.

        Raises:
            IntegrityError: the file of them is missing or was changed.
        """
        recorded = self.split(split).checksums_sha256
        if recorded is None:
            return None
        return self._array(checksums_path(self._folder, split), recorded)

    def _array(self, path: Path, sha256: str) -> NDArray[Any]:
        try:
            if sha256_of(path) != sha256:
                raise IntegrityError(f"{path}: was changed", mend=prepare_again(self))
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except OSError as error:
            raise IntegrityError(f"{path}: {error.strerror}", mend=prepare_again(self)) from error
        return array

    @classmethod
    def sealed(cls, fields: ManifestFields) -> Self:
        """A manifest of `fields` with its checksum."""
        content = fields.model_dump(mode="json")
        return cls.model_validate_json(json.dumps({**content, "checksum": _digest(content)}))


def checksums_path(folder: Path, split: SplitName) -> Path:
    """The file of the checksums of a split's images."""
    return folder / f"{split}.crc32.npy"


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.json` into `folder`."""
    content = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_whole(folder / MANIFEST_NAME, (content + "\n").encode())


def load_manifest(name_or_folder: str) -> Manifest:
    """The manifest of a prepared data set, by the name jobs use or by its folder.

    Raises:
        UsageError: neither a name nor a folder.
        PreflightError: no such data set is prepared; the mend is the line that prepares it.
        IntegrityError: the manifest cannot be read, is of another schema, or was edited.
    """
    if NAME_PATTERN.fullmatch(name_or_folder):
        if (folder := data_root() / name_or_folder).exists():
            return read_manifest(folder)
        if not (Path(name_or_folder) / MANIFEST_NAME).is_file():
            raise PreflightError(
                f"no data set named {name_or_folder!r} is prepared in {data_root()}",
                mend=_meant(name_or_folder) + prepare_command(name_or_folder),
            )
    elif not Path(name_or_folder).is_dir():
        if "/" in name_or_folder:
            what = "is not a folder" if Path(name_or_folder).exists() else "does not exist"
            raise PreflightError(
                f"{name_or_folder}: {what}",
                mend="`resnet-cluster data list` shows what is prepared",
            )
        check_name(name_or_folder)
    folder = Path(name_or_folder).absolute()
    if not (folder / MANIFEST_NAME).is_file():
        raise PreflightError(
            f"{folder}: is not a prepared data set, for it has no {MANIFEST_NAME}",
            mend="`resnet-cluster data list` lists those that are; "
            "`resnet-cluster data prepare FOLDER --as NAME` makes one of images",
        )
    return read_manifest(folder)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`.

    Raises:
        IntegrityError: it cannot be read, is of another schema, or was edited.
    """
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise IntegrityError(f"{path}: is too large to be a manifest", mend=_PREPARE_AGAIN)
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise IntegrityError(f"{path}: is not a manifest", mend=_PREPARE_AGAIN)
        _check_schema(content, path)
        manifest = Manifest.model_validate_json(json.dumps(content))
    except OSError as error:
        raise IntegrityError(f"{path}: {error.strerror}", mend=_PREPARE_AGAIN) from error
    except (ValueError, RecursionError) as error:
        where = _first_error(error) if isinstance(error, ValidationError) else "not JSON"
        raise IntegrityError(f"{path}: is damaged ({where})", mend=_PREPARE_AGAIN) from error
    if _digest({k: v for k, v in content.items() if k != "checksum"}) != manifest.checksum:
        raise IntegrityError(
            f"{path}: was edited after it was written: its checksum does not match",
            mend=_PREPARE_AGAIN,
        )
    manifest._folder = folder
    return manifest


def list_datasets() -> tuple[list[Manifest], list[IntegrityError]]:
    """Every data set under the data folder, by name, and what is wrong with the broken ones."""
    manifests, broken = [], []
    root = data_root()
    folders = sorted(root.iterdir()) if root.is_dir() else []
    for folder in folders:
        if not NAME_PATTERN.fullmatch(folder.name):
            continue
        try:
            manifests.append(read_manifest(folder))
        except IntegrityError as error:
            broken.append(error)
    return manifests, broken


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can name a data set."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a data set",
            mend="use 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit",
        )


def prepare_command(name: str) -> str:
    """The command that prepares the data set `name`, and what it takes where that is known."""
    source = name if name in KNOWN_SOURCES else _PLACES.get(name, "FOLDER_OR_TAR")
    command = f"resnet-cluster data prepare {source} --as {name}"
    return f"{command}    # {_COSTS[name]}" if name in _COSTS else command


def prepare_again(manifest: Manifest) -> str:
    """The mend for a data set whose files are no longer what was prepared."""
    words = ["resnet-cluster", "data", "prepare", manifest.source.description]
    words += ["--as", manifest.name, *_options(manifest)]
    return f"remove {manifest.folder} and run `{shlex.join(words)}`"


def _options(manifest: Manifest) -> Iterator[str]:
    """The options that a data set was prepared with, where they were not the usual ones."""
    given: dict[str, object] = {"--size": manifest.requested_size, "--limit": manifest.limit}
    if kept := manifest.storage:
        given |= {"--mode": manifest.mode}
        given |= {"--shorter-side": kept.shorter_side, "--longer-side": kept.longer_side}
        if manifest.mode != "raw":
            given |= {"--quality": kept.quality}
        if manifest.mode == "proportion":
            given |= {"--jpeg-share": kept.jpeg_share}
    if manifest.num_bad:
        given |= {"--on-bad": "skip"}
    for option, value in given.items():
        if value is not None:
            yield from (option, str(value))


def _meant(name: str) -> str:
    """A prepared data set of nearly that name, as the beginning of a mend."""
    root = data_root()
    names = [folder.name for folder in root.iterdir()] if root.is_dir() else []
    near = difflib.get_close_matches(name, filter(NAME_PATTERN.fullmatch, names), n=1)
    return f"did you mean {near[0]}? Or else: " if near else ""


_PREPARE_AGAIN = (
    "remove the data set's folder and prepare it again with `resnet-cluster data prepare`"
)


def _check_schema(content: dict[str, object], path: Path) -> None:
    if content.get("schema_version") != SCHEMA_VERSION:
        raise IntegrityError(
            f"{path}: has schema_version {content.get('schema_version')!r}, "
            f"and {SCHEMA_VERSION} is known",
            mend="update resnet-cluster, or prepare the data set again under another name",
        )


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _digest(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
