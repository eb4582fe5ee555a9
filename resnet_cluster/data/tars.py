"""Tar archives, read in place: nothing is extracted, and damage is named."""

from __future__ import annotations

import contextlib
import lzma
import tarfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from resnet_cluster.data.sources import Example, Source, Tick, check_image_bytes, check_length
from resnet_cluster.errors import IntegrityError

MAX_OPEN = 16
"""Archives that are open at once."""
_BLOCK = 1 << 20
_DAMAGE = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, UnicodeError)


class Member(NamedTuple):
    """A regular file of an archive, and where its content lies."""

    name: str
    offset: int
    num_bytes: int


def scan(archive: Path, tick: Tick, *, start: int = 0) -> Iterator[Member]:
    """The regular files of a plain tar that begins at `start` of a file, in their order.

    Raises:
        IntegrityError: it is damaged, truncated or compressed.
    """
    total = archive.stat().st_size
    with damage_named(archive), archive.open("rb") as raw:
        raw.seek(start)
        with tarfile.open(fileobj=raw, mode="r:") as tar:
            while (member := tar.next()) is not None:
                # tarfile keeps every member it has seen: a gigabyte for a million images.
                tar.members.clear()  # type: ignore[attr-defined]
                tick("reading the archives", min(raw.tell(), total), total)
                if member.isreg() and not member.issparse():
                    yield Member(member.name, member.offset_data, member.size)
            check_end(tar, raw, archive, is_plain=True)


class PackedSource(Source):
    """Images that lie in plain tar archives; an example's place is (archive, offset, length).

    Args:
        archives: by the number that places give them.
    """

    def __init__(self, archives: Sequence[Path]) -> None:
        super().__init__()
        self._archives = archives
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def read(self, example: Example) -> bytes:
        assert isinstance(example.place, tuple)
        number, offset, num_bytes = example.place
        check_image_bytes(num_bytes, example.name)
        file = self._file(number)
        file.seek(offset)
        return check_length(file.read(num_bytes), num_bytes, example.name)

    def close(self) -> None:
        """Release the archives."""
        while self._open:
            self._open.popitem()[1].close()
        super().close()

    def _file(self, number: int) -> BinaryIO:
        if number not in self._open:
            if len(self._open) == MAX_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[number] = self._archives[number].open("rb")
        self._open.move_to_end(number)
        return self._open[number]


def check_end(tar: tarfile.TarFile, raw: BinaryIO, archive: Path, *, is_plain: bool) -> None:
    """Refuse an archive that was cut between two members, or in a checksum: tarfile does not.

    Raises:
        IntegrityError: it was.
    """
    if not is_plain:
        assert tar.fileobj is not None
        while tar.fileobj.read(_BLOCK):
            pass
        return
    raw.seek(tar.offset)
    if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise damaged(archive, "its end mark is missing")


@contextlib.contextmanager
def damage_named(archive: Path) -> Iterator[None]:
    """What tarfile and the decompressors raise of a damaged archive, as an IntegrityError."""
    try:
        yield
    except _DAMAGE as error:
        # tarfile goes on for lines about each decompressor that it has tried.
        raise damaged(archive, str(error).partition(":\n")[0]) from error
    except OSError as error:
        if error.errno is not None:  # the disk's own; a decompressor's has no number
            raise
        raise damaged(archive, str(error)) from error


def damaged(archive: Path, what: str) -> IntegrityError:
    """The error that says so of an archive."""
    return IntegrityError(
        f"{archive}: is damaged or truncated ({what})", mend="fetch or make the archive again"
    )
