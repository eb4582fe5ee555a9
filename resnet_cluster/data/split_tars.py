"""A tar for each split, of class folders or of a tar for each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resnet_cluster.data.file_sources import file_sizes
from resnet_cluster.data.manifest_fields import SourceKind
from resnet_cluster.data.sources import Source, Tick, names_and_sizes_sha256, tree_splits
from resnet_cluster.data.tars import Member, PackedSource, scan
from resnet_cluster.data.tree import TEST_FOLDERS, arrange, is_image


class SplitTarsSource(PackedSource):
    """`train.tar` and one of `test.tar`, `val.tar` and `valid.tar`.

    Raises:
        UsageError: they hold no class folders.
        IntegrityError: one is damaged.
    """

    kind: SourceKind = "tars"

    def __init__(self, folder: Path, archives: list[Path], tick: Tick) -> None:
        super().__init__(archives)
        self.description = str(folder)
        self.sha256 = names_and_sizes_sha256(file_sizes(folder, tick))
        places = {
            f"{archive.stem}/{name}": (number, offset, num_bytes)
            for number, archive in enumerate(archives)
            for name, offset, num_bytes in _images(archive, tick)
        }
        tree = arrange(places, self.description)
        self.classes, self.num_ignored = tree.classes, tree.num_ignored
        self.splits = tree_splits(tree, f"{folder}:", places)
        self.recognised = f"a tar for each split: {', '.join(path.name for path in archives)}"


def split_tars_source(folder: Path, tick: Tick) -> Source | None:
    """The archives in a folder; None where it does not hold one for each split."""
    train = folder / "train.tar"
    tests = [path for name in TEST_FOLDERS if (path := folder / f"{name}.tar").is_file()]
    if not train.is_file() or not tests:
        return None
    return SplitTarsSource(folder, [train, *tests], tick)


def _images(archive: Path, tick: Tick) -> Iterator[Member]:
    """Images by the names of their class folders, whether those are folders or tars."""
    for member in scan(archive, tick):
        name = member.name.removeprefix("./").removeprefix(f"{archive.stem}/")
        if not name.endswith(".tar"):
            yield member._replace(name=name)
            continue
        for inner in scan(archive, tick, start=member.offset):
            if is_image(inner.name):
                yield inner._replace(name=f"{Path(name).stem}/{Path(inner.name).name}")
