"""WebDataset shards: tars of `<key>.jpg` and `<key>.cls`, read in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resnet_cluster.data.file_sources import file_sizes
from resnet_cluster.data.manifest_fields import SourceKind
from resnet_cluster.data.numbered import check_label, files_by_split, named_classes
from resnet_cluster.data.sources import Example, Source, Tick, names_and_sizes_sha256
from resnet_cluster.data.tars import Member, PackedSource, scan
from resnet_cluster.data.tree import IMAGE_SUFFIXES, printable
from resnet_cluster.errors import IntegrityError

CLASS_FILES = ("classes.txt", "classnames.txt", "labels.txt")
MAX_LABEL_BYTES = 32


class ShardsSource(PackedSource):
    """A folder of shards, in their own order: they are read from one end to the other.

    Raises:
        UsageError: a class has no training images.
        IntegrityError: a shard is damaged, or an image and its class do not belong together.
    """

    kind: SourceKind = "webdataset"

    def __init__(self, folder: Path, tick: Tick) -> None:
        by_split, num_left_out = files_by_split(folder.glob("*.tar"))
        shards = [shard for files in by_split.values() for shard in files]
        super().__init__(shards)
        self.description = str(folder)
        self.sha256 = names_and_sizes_sha256(file_sizes(folder, tick))
        numbers = {shard: number for number, shard in enumerate(shards)}
        self.splits = {
            split: [e for shard in files for e in _examples(shard, numbers[shard], tick)]
            for split, files in by_split.items()
        }
        self.classes = named_classes(self.splits, _class_names(folder), str(folder))
        self.recognised = f"{len(shards):,} WebDataset shards" + (
            f"; {num_left_out:,} others are of no split that is used" if num_left_out else ""
        )


def webdataset_source(folder: Path, tick: Tick) -> Source | None:
    """The shards in a folder; None where it holds none."""
    shards = sorted(folder.glob("*.tar"))
    if not shards or not any(m.name.endswith(".cls") for m in _first(shards[0], tick)):
        return None
    return ShardsSource(folder, tick)


def _first(shard: Path, tick: Tick, number: int = 16) -> Iterator[Member]:
    """The first members of a shard: enough to know it by."""
    members = scan(shard, tick)
    for _, member in zip(range(number), members, strict=False):
        yield member


def _examples(shard: Path, number: int, tick: Tick) -> Iterator[Example]:
    images: dict[str, Member] = {}
    labels: dict[str, int] = {}
    with shard.open("rb") as file:
        for member in scan(shard, tick):
            folder, slash, base = member.name.rpartition("/")
            stem, _, extension = base.partition(".")
            key, where = folder + slash + stem, printable(f"{shard}:{member.name}")
            if f".{extension.lower()}" in IMAGE_SUFFIXES:
                if key in images:
                    raise IntegrityError(
                        f"{where}: is a second image of the key {printable(key)}",
                        mend="write each image under a key of its own",
                    )
                images[key] = member
            elif extension == "cls":
                file.seek(member.offset)
                labels[key] = _label(file.read(min(member.num_bytes, MAX_LABEL_BYTES)), where)
    if odd := images.keys() ^ labels.keys():
        what = "an image and no class" if min(odd) in images else "a class and no image"
        raise IntegrityError(
            f"{shard}: the key {printable(min(odd))} has {what}",
            mend="write <key>.jpg and <key>.cls for each image",
        )
    for key, image in images.items():
        name = printable(f"{shard.name}:{image.name}")
        yield Example(name, labels[key], (number, image.offset, image.num_bytes))


def _label(content: bytes, where: str) -> int:
    text = content.strip()
    if not text.isdigit():
        raise IntegrityError(
            f"{where}: is not the number of a class", mend="write it in decimal digits"
        )
    return check_label(int(text), where)


def _class_names(folder: Path) -> list[str] | None:
    for name in CLASS_FILES:
        if (path := folder / name).is_file():
            lines = path.read_text("utf-8", errors="replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return None
