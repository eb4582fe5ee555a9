"""Parquet files of images, as Hugging Face's data sets are stored."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_cluster.data.file_sources import file_sizes
from resnet_cluster.data.manifest_fields import SourceKind
from resnet_cluster.data.numbered import check_label, files_by_split, named_classes
from resnet_cluster.data.sources import (
    Example,
    Source,
    Tick,
    check_image_bytes,
    names_and_sizes_sha256,
)
from resnet_cluster.data.tree import printable
from resnet_cluster.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label", "labels")
WITHHELD = -1
"""What a label is where it is withheld, in test sets."""


class ParquetSource(Source):
    """Images in a struct of their bytes and path, classes in a column of whole numbers.

    An example's place is (file, row group, row in it); images are read a row group at a time.

    Raises:
        UsageError: it cannot be told which columns hold images and classes, or a class has no
            training images.
        IntegrityError: a file is damaged.
    """

    kind: SourceKind = "parquet"

    def __init__(self, folder: Path, tick: Tick) -> None:
        super().__init__()
        by_split, num_left_out = files_by_split(_files(folder))
        self._paths = [path for files in by_split.values() for path in files]
        self._open: dict[int, pq.ParquetFile] = {}
        self._group: tuple[tuple[int, int], pa.ChunkedArray] | None = None
        self.description = str(folder)
        self.sha256 = names_and_sizes_sha256(file_sizes(folder, tick))
        self._image, self._label = _columns(self._file(0).schema_arrow, self._paths[0])
        names = _class_names(self._file(0).schema_arrow, self._label)
        numbers = {path: number for number, path in enumerate(self._paths)}
        self.splits = {
            split: [e for path in files for e in self._examples(numbers[path], tick)]
            for split, files in by_split.items()
        }
        if not self.splits.get("test", ["some"]):
            self.splits = {"train": self.splits["train"]}
        self.classes = named_classes(self.splits, names, str(folder))
        self.recognised = (
            f"{len(self._paths):,} parquet files with images in the column {self._image!r} and "
            f"classes in {self._label!r}"
            + (f"; {num_left_out:,} others are of no split that is used" if num_left_out else "")
        )

    def read(self, example: Example) -> bytes:
        assert isinstance(example.place, tuple)
        number, group, row = example.place
        if self._group is None or self._group[0] != (number, group):
            with _damage_named(self._paths[number]):
                table = self._file(number).read_row_group(group, columns=[self._image])
            self._group = (number, group), table.column(0)
        content = self._group[1][row].as_py()["bytes"]
        if content is None:
            raise IntegrityError(
                f"{example.name}: has no bytes, only the path of a file",
                mend="save the data set with its images embedded",
            )
        check_image_bytes(len(content), example.name)
        return bytes(content)

    def close(self) -> None:
        """Release the files."""
        for file in self._open.values():
            file.close()
        super().close()

    def _file(self, number: int) -> pq.ParquetFile:
        if number not in self._open:
            import pyarrow.parquet as pq

            for other in [n for n in self._open if n != 0]:
                self._open.pop(other).close()
            with _damage_named(self._paths[number]):
                self._open[number] = pq.ParquetFile(self._paths[number])
        return self._open[number]

    def _examples(self, number: int, tick: Tick) -> Iterator[Example]:
        path, file = self._paths[number], self._file(number)
        for group in range(file.num_row_groups):
            with _damage_named(path):
                column = file.read_row_group(group, columns=[self._label]).column(0)
            for row, label in enumerate(column.to_pylist()):
                if label == WITHHELD:
                    self.num_ignored += 1
                    continue
                name = printable(f"{path.name}:{group}:{row}")
                if label is None:
                    raise IntegrityError(f"{name}: has no class", mend="leave that row out")
                yield Example(name, check_label(label, name), (number, group, row))
            tick("reading the tables", number, len(self._paths))


def parquet_source(folder: Path, tick: Tick) -> Source | None:
    """The parquet files in a folder or its `data/`; None where it holds none."""
    return ParquetSource(folder, tick) if _files(folder) else None


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet")) or sorted((folder / "data").glob("*.parquet"))


def _columns(schema: pa.Schema, path: Path) -> tuple[str, str]:
    """Names of the columns of images and of classes."""
    import pyarrow as pa

    images = [f.name for f in schema if pa.types.is_struct(f.type) and _has_bytes(f.type)]
    labels = [field.name for field in schema if pa.types.is_integer(field.type)]
    return (
        _only("images (a struct with their bytes)", images, IMAGE_COLUMNS, path),
        _only("classes (whole numbers)", labels, LABEL_COLUMNS, path),
    )


def _has_bytes(struct: pa.StructType) -> bool:
    import pyarrow as pa

    return any(
        field.name == "bytes" and (pa.types.is_binary(field.type) or _is_large(field.type))
        for field in struct
    )


def _is_large(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_large_binary(kind))


def _only(what: str, found: list[str], usual: tuple[str, ...], path: Path) -> str:
    for name in usual:
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    names = ", ".join(map(printable, found)) or "none"
    raise UsageError(
        f"{path}: cannot tell its column of {what}: {names}",
        mend=f"name it {usual[0]!r}",
    )


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Names of the classes in what Hugging Face notes of a schema; None where there are none."""
    try:
        noted: Any = json.loads((schema.metadata or {})[b"huggingface"])
        names = noted["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """What pyarrow raises of a damaged file, as an IntegrityError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise IntegrityError(
            f"{path}: is damaged or truncated ({first_line})", mend="fetch the file again"
        ) from error
