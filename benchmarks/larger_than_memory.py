"""An epoch of a beton larger than the page cache may be, a few pages at a time.

    python benchmarks/larger_than_memory.py FOLDER    # of <class>/<image>, JPEG; as root

The photographs are repeated to a beton of 2 GiB. A process with the loader, alone in a control
group of memory, loads epochs of random resized crops of 224 pixels on two threads:

- cached: without a limit, the file in memory;
- pages: with room for a quarter of the file beside the process itself, 24 pages shuffled together;
- shuffled: with the same room, all images shuffled.

Prints images a second and the bytes that came from the disk, by /proc/self/io.

Exit code 0: `pages` has at least half the rate of `cached`. 1: it has less. 2: no control group can
be made here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILE_BYTES = 2 << 30
CACHE_BYTES = FILE_BYTES // 4
WINDOW_PAGES = 24
BATCH, SIDE = 64, 224
LIMIT = 0.5


def load(beton: Path, shuffle_pages: int, room: Path | None) -> None:
    """Two epochs; prints images a second of the second, and the bytes it read from the disk."""
    import numpy as np

    from resnet_cluster.data.beton import read_index
    from resnet_cluster.data.image_source import ImageSource
    from resnet_cluster.data.loader import TrainLoader
    from resnet_cluster.data.random_views import RandomResizedCrop

    index = read_index(beton)
    loader = TrainLoader(
        ImageSource(index, num_threads=2),
        indices=np.arange(len(index)),
        global_batch_size=BATCH,
        bn_group=BATCH,
        world_rank=0,
        world_size=1,
        seed=0,
        device="cpu",
        views=lambda epoch: RandomResizedCrop(side=SIDE, seed=0, epoch=epoch),
        shuffle_pages=shuffle_pages,
    )
    if room is not None:
        limit_to(room, own_bytes() + CACHE_BYTES)
        with beton.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for epoch in range(2):
        before, began, number = disk_bytes(), time.perf_counter(), 0
        with loader.batches(epoch) as batches:
            for batch in batches:
                number += len(batch.labels)
        seconds = time.perf_counter() - began
    print(number / seconds, disk_bytes() - before)


def limit_to(room: Path, num_bytes: int) -> None:
    """Put this process into a control group with so much memory, page cache included."""
    for name in ("memory.limit_in_bytes", "memory.max"):
        if (room / name).exists():
            (room / name).write_text(str(num_bytes))
    (room / "cgroup.procs").write_text(str(os.getpid()))


def own_bytes() -> int:
    """What this process has without page cache, and some room to breathe."""
    status = Path("/proc/self/status").read_text()
    return (int(status.split("RssAnon:")[1].split()[0]) << 10) + (128 << 20)


def disk_bytes() -> int:
    """Bytes that this process has caused to be read from a disk."""
    return int(Path("/proc/self/io").read_text().split("\nread_bytes: ")[1].split()[0])


def write_beton(source: Path, beton: Path) -> None:
    """The photographs again and again."""
    import io

    from PIL import Image

    from resnet_cluster.data.beton import JPEG_MODE
    from resnet_cluster.data.writer import PAGE_BYTES, BetonWriter, StoredImage

    contents = [path.read_bytes() for path in sorted(source.glob("*/*")) if path.is_file()]
    images = [
        StoredImage(JPEG_MODE, *Image.open(io.BytesIO(content)).size, content)
        for content in contents
    ]
    times = FILE_BYTES // sum(map(len, contents))
    with BetonWriter(beton, max_images=times * len(images), page_bytes=PAGE_BYTES) as writer:
        for _ in range(times):
            for place, image in enumerate(images):
                writer.add(image, place % 10)


def make_room() -> Path | None:
    """A new control group of memory; None where none can be made."""
    for root in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        room = Path(root, f"resnet-cluster-{os.getpid()}")
        try:
            room.mkdir()
        except OSError:
            continue
        if any((room / name).exists() for name in ("memory.limit_in_bytes", "memory.max")):
            return room
        room.rmdir()
    return None


def run(beton: Path, shuffle_pages: int, room: Path | None) -> float:
    """Images a second of a process of its own."""
    argv = [sys.executable, __file__, str(beton), "--pages", str(shuffle_pages)]
    argv += ["--room", str(room)] if room else []
    rate, from_disk = subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()
    name = "cached" if room is None else "pages" if shuffle_pages else "shuffled"
    print(f"{name}: {float(rate):.0f} images/s, {int(from_disk) / 2**30:.2f} GiB from the disk")
    return float(rate)


def main() -> int:
    """Measure and judge; or, with --pages, be the process that is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="folder of <class>/<image>, JPEG")
    parser.add_argument("--pages", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--room", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help="folder on the disk that is measured")
    flags = parser.parse_args()
    if flags.pages is not None:
        load(flags.path, flags.pages, flags.room)
        return 0
    room = make_room()
    if room is None:
        print("no control group can be made here: run it as root")
        return 2
    try:
        with tempfile.TemporaryDirectory(dir=flags.scratch) as folder:
            beton = Path(folder, "train.beton")
            write_beton(flags.path, beton)
            cached = run(beton, WINDOW_PAGES, None)
            pages = run(beton, WINDOW_PAGES, room)
            run(beton, 0, room)
    finally:
        room.rmdir()
    ratio = pages / cached
    print(f"{'PASS' if ratio >= LIMIT else 'FAIL'}: {ratio:.2f} of the cached rate (limit {LIMIT})")
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
