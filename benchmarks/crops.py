"""What a crop costs: our loader beside stock FFCV's on the same beton.

    python benchmarks/crops.py FOLDER    # of <class>/<image>, JPEG

Both make random resized crops of 224 pixels, mirrored at random, of the same photographs kept as
JPEG and raw; stock FFCV by RandomResizedCropRGBImageDecoder and RandomHorizontalFlip. Ours have
PIL's pixels: an accurate transform, smooth upsampling, an antialiased float box. Stock FFCV has a
fast transform, boxes of whole pixels and, where it enlarges, another filter. A third loader is ours
without the extension in C: PIL cuts.

Each loader has a process of its own with one thread for images. They take turns, an epoch each, in
seven rounds; a figure is the median of the rounds' ratios, of images per CPU-second of the whole
process. Then each builds a loader and asks for its first batch, in three rounds: seconds of wall
time.

Exit code 0: ours is at least as fast in each. 1: it is not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROUNDS, FIRST_ROUNDS = 7, 3
SIDE, BATCH, SEED = 224, 64, 0
Epochs = Callable[[], Iterator[int]]


def our_loader(beton: Path) -> Epochs:
    """Ours: a call is an epoch, which yields the images of each batch."""
    import numpy as np

    from resnet_cluster.data.beton import read_index
    from resnet_cluster.data.image_source import ImageSource
    from resnet_cluster.data.loader import TrainLoader
    from resnet_cluster.data.random_views import RandomResizedCrop

    index = read_index(beton)
    loader = TrainLoader(
        ImageSource(index),
        indices=np.arange(len(index)),
        global_batch_size=BATCH,
        bn_group=BATCH,
        world_rank=0,
        world_size=1,
        seed=SEED,
        device="cpu",
        views=lambda epoch: RandomResizedCrop(side=SIDE, seed=SEED, epoch=epoch),
    )
    epochs = iter(range(10**6))

    def epoch() -> Iterator[int]:
        with loader.batches(next(epochs)) as batches:
            for batch in batches:
                yield len(batch.labels)

    return epoch


def stock_loader(beton: Path) -> Epochs:
    """FFCV's own, as its documentation builds it."""
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip, ToTensor

    images = [RandomResizedCropRGBImageDecoder((SIDE, SIDE)), RandomHorizontalFlip(), ToTensor()]
    loader = Loader(
        str(beton),
        batch_size=BATCH,
        num_workers=1,
        order=OrderOption.RANDOM,
        seed=SEED,
        drop_last=True,
        pipelines={"image": images, "label": [IntDecoder(), ToTensor()]},
    )

    def epoch() -> Iterator[int]:
        for _, labels in loader:
            yield len(labels)

    return epoch


def loader_without_extension(beton: Path) -> Epochs:
    """Ours where the extension could not be built."""
    os.environ["RESNET_CLUSTER_PIXELS"] = "pil"  # in a process of its own
    return our_loader(beton)


LOADERS = {"ours": our_loader, "stock": stock_loader, "without": loader_without_extension}


def serve(name: str, beton: Path, pipe: Connection) -> None:
    """Answer `epoch` with images per CPU-second, and `first` with seconds to a first batch."""
    build = LOADERS[name]
    epoch = build(beton)
    list(epoch())  # imports, compilation, the page cache
    while (asked := pipe.recv()) != "end":
        if asked == "first":
            began = time.perf_counter()
            batches = build(beton)()
            next(batches)
            pipe.send(time.perf_counter() - began)
            list(batches)
        else:
            began = time.process_time()
            number = sum(epoch())
            pipe.send(number / (time.process_time() - began))


class Server:
    """A process with one of the loaders."""

    def __init__(self, name: str, beton: Path) -> None:
        context: Any = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(name, beton, theirs))
        self._process.start()

    def ask(self, what: str) -> float:
        """The answer."""
        self._pipe.send(what)
        answer: float = self._pipe.recv()
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.send("end")
        self._process.join()


def measure(mode: str, source: Path) -> dict[str, float]:
    """Ratios of ours to stock's, the larger the better."""
    from resnet_cluster.data.conversion import convert
    from resnet_cluster.data.encoding import Encoding
    from resnet_cluster.data.request import ConversionRequest

    with tempfile.TemporaryDirectory() as folder:
        encoding = Encoding(mode=mode)  # type: ignore[arg-type]  # one of its modes
        convert(
            ConversionRequest(
                source=str(source), folder=folder, name="x", size=None, seed=0, encoding=encoding
            ),
            lambda event: None,
        )
        servers = {name: Server(name, Path(folder, "train.beton")) for name in LOADERS}
        rates = take_turns(servers, "epoch", ROUNDS)
        firsts = take_turns(servers, "first", FIRST_ROUNDS)
        for server in servers.values():
            server.close()
    for name in LOADERS:
        print(
            f"{mode}, {name}: {statistics.median(rates[name]):.0f} images per CPU-second, "
            f"first batch after {statistics.median(firsts[name]):.2f} s",
            flush=True,
        )
    return {
        f"{mode}: images per CPU-second": median_ratio(rates["ours"], rates["stock"]),
        f"{mode}: rate of first batches": median_ratio(firsts["stock"], firsts["ours"]),
        f"{mode}: images per CPU-second, beside PIL's": median_ratio(
            rates["ours"], rates["without"]
        ),
    }


def take_turns(servers: dict[str, Server], what: str, rounds: int) -> dict[str, list[float]]:
    """Answers of each, asked in turn."""
    answers: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(rounds):
        print(f"\r{what} {number + 1} of {rounds}   ", end="", file=sys.stderr)
        for name, server in servers.items():
            answers[name].append(server.ask(what))
    print("\r", end="", file=sys.stderr)
    return answers


def median_ratio(one: list[float], other: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of <class>/<image>, JPEG")
    folder = parser.parse_args().folder
    os.environ["NUMBA_NUM_THREADS"] = "1"
    ratios = measure("jpg", folder) | measure("raw", folder)
    for name, ratio in ratios.items():
        print(f"{ratio:.2f}  {name}")
    passed = min(ratios.values()) >= 1.0
    print(f"{'PASS' if passed else 'FAIL'}: each at least 1.0")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
