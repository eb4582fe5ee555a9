"""Parquet folders of images, as Hugging Face's data sets are stored; written with pyarrow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packed_files import assert_names, blots, contents, opened, photographs

from resnet_cluster.data import prepare
from resnet_cluster.data.beton import read_index
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.errors import IntegrityError, UsageError

NAMES = ("tench", "kit fox", "crayfish")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[int | None],
    *,
    names: Sequence[str] | None = NAMES,
    columns: tuple[str, str] = ("image", "label"),
    **more: Any,
) -> None:
    """A file of two rows a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    structs = [{"bytes": content, "path": f"{n}.jpg"} for n, content in enumerate(images)]
    table = pa.table(
        {
            columns[0]: pa.array(structs, IMAGE),
            columns[1]: pa.array(labels, pa.int64()),
            **{name: pa.array(values) for name, values in more.items()},
        }
    )
    if names is not None:
        features = {columns[1]: {"names": list(names), "_type": "ClassLabel"}}
        noted = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": noted})
    pq.write_table(table, path, row_group_size=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files to train on, one to validate, and a test set whose labels are withheld."""
    folder = tmp_path / "imagenet-1k"
    for number in range(2):
        images = [blots(5 * number + place) for place in range(5)]
        path = folder / f"data/train-{number:05d}-of-00002-abcdef.parquet"
        write(path, images, [(5 * number + place) % 3 for place in range(5)])
    write(folder / "data/validation-00000-of-00001.parquet", [blots(10), blots(11)], [1, 2])
    write(folder / "data/test-00000-of-00001.parquet", [blots(12)], [-1])
    return folder


def test_rows_are_images_with_classes(folder: Path, tmp_path: Path) -> None:
    source = opened(folder, tmp_path)
    assert (source.kind, source.classes) == ("parquet", NAMES)
    assert contents(source) == {
        "train": [(NAMES[seed % 3], blots(seed)) for seed in range(10)],
        "test": [(NAMES[1], blots(10)), (NAMES[2], blots(11))],
    }
    assert "3 parquet files with images in the column 'image'" in source.recognised
    assert "1 others" in source.recognised
    backwards = list(reversed(source.splits["train"]))
    assert [bytes(source.read(e)) for e in backwards] == [blots(9 - n) for n in range(10)]
    source.close()


def test_withheld_labels_are_no_test_split(folder: Path, tmp_path: Path) -> None:
    (folder / "data/validation-00000-of-00001.parquet").unlink()
    source = opened(folder, tmp_path)
    assert set(source.splits) == {"train"}
    assert source.num_ignored == 1


def test_other_columns_are_found_by_their_kind(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    images, labels = [blots(0), blots(1)], [0, 1]
    write(folder / "a.parquet", images, labels, names=None, columns=("photo", "what"))
    source = opened(folder, tmp_path)
    assert contents(source)["train"] == [("0", blots(0)), ("1", blots(1))]
    write(
        folder / "a.parquet",
        images,
        labels,
        names=None,
        columns=("img", "fine_label"),
        coarse=[3, 4],
    )
    assert opened(folder, tmp_path).classes == ("0", "1")


def test_columns_that_cannot_be_told_apart_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    write(folder / "a.parquet", [blots(0)], [0], columns=("image", "one"), two=[1])
    with pytest.raises(UsageError) as refused:
        opened(folder, tmp_path)
    assert_names(refused, "a.parquet", "one, two")
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), folder / "a.parquet")
    with pytest.raises(UsageError) as refused:
        opened(folder, tmp_path)
    assert_names(refused, "a.parquet", "images", "none")


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        ([blots(0), blots(1)], [0, None], "train.parquet:0:1: has no class"),
        ([blots(0), blots(1)], [0, -7], "has the class -7"),
        ([blots(0), blots(1)], [0, 9], "the class 9, and names of 3 classes"),
        ([blots(0), None, blots(1)], [0, 1, 2], "train.parquet:0:1: has no bytes"),
    ],
)
def test_rows_that_cannot_be_used_are_named(
    images: list[bytes | None], labels: list[int | None], says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bad"
    write(folder / "train.parquet", images, labels)
    with pytest.raises(IntegrityError) as refused:
        contents(opened(folder, tmp_path))
    assert_names(refused, says)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(share: float, folder: Path, tmp_path: Path) -> None:
    path = folder / "data/train-00001-of-00002-abcdef.parquet"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(IntegrityError) as refused:
        contents(opened(folder, tmp_path))
    assert_names(refused, path)


def test_real_photographs_end_to_end(shared_data: Path, tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "photographs"
    images = photographs(shared_data, 12)
    write(folder / "train-00000-of-00001.parquet", images[:9], [n % 3 for n in range(9)])
    write(folder / "validation-00000-of-00001.parquet", images[9:], [0, 1, 2])
    manifest = prepare(str(folder), name="photos", encoding=Encoding(mode="jpg")).manifest
    assert (manifest.source.kind, manifest.classes) == ("parquet", NAMES)
    index = read_index(manifest.beton("train"))
    content = manifest.beton("train").read_bytes()
    spans = zip(index.pointers.tolist(), index.lengths.tolist(), strict=True)
    assert [content[at : at + length] for at, length in spans] == images[:9]
    assert index.labels.tolist() == [n % 3 for n in range(9)]
