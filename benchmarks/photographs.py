"""What preparing and verifying photographs costs beside decoding (and encoding) them.

    python benchmarks/photographs.py FOLDER    # of <class>/<image>, JPEG

The limits are PIL's own, in one thread for each core, on files that are in memory: decoding;
decoding and encoding again; and decoding, reducing to a shorter side of 256 and encoding. `data
prepare` does more: it reads the files, takes the mean of a resized crop of each, writes, hashes and
checksums. All take turns in five rounds; a figure is the median of the rounds' ratios of rates.
Give it some thousands of photographs: what is done once weighs on fewer.

Exit code 0: each ratio is at least 0.8. 1: one is not.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from resnet_cluster.data.conversion import convert
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.data.manifest import load_manifest
from resnet_cluster.data.request import ConversionRequest
from resnet_cluster.data.verification import verify_dataset

LIMIT = 0.8
ROUNDS = 5
REDUCED = Encoding(mode="jpg", shorter_side=256)


def decode(content: bytes) -> Image.Image:
    """The image in RGB."""
    return Image.open(io.BytesIO(content)).convert("RGB")


def decode_and_encode(content: bytes) -> None:
    """The same, and JPEG again."""
    decode(content).save(io.BytesIO(), "JPEG", quality=90)


def decode_reduce_and_encode(content: bytes) -> None:
    """The same, with a shorter side of 256."""
    image = decode(content)
    size = REDUCED.reduced(*image.size)
    image.resize(size, Image.Resampling.BILINEAR).save(io.BytesIO(), "JPEG", quality=90)


def in_threads(work: Callable[[bytes], object], contents: Sequence[bytes]) -> float:
    """Images a second, one thread for each core."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(work, contents, chunksize=8):
            pass
    return len(contents) / (time.perf_counter() - began)


def prepare(source: Path, encoding: Encoding, number: int) -> tuple[float, float]:
    """Images a second of preparing in that form, and of verifying what came out."""
    with tempfile.TemporaryDirectory() as folder:
        request = ConversionRequest(
            source=str(source), folder=folder, name="x", size=None, seed=0, encoding=encoding
        )
        began = time.perf_counter()
        convert(request, lambda event: None)
        prepared_at = time.perf_counter()
        faults = list(verify_dataset(load_manifest(folder), lambda stage, done, total: None))
        verified_at = time.perf_counter()
    assert not faults
    return number / (prepared_at - began), number / (verified_at - prepared_at)


def measure(source: Path, contents: Sequence[bytes]) -> dict[str, list[float]]:
    """Ratios of rates, by what is compared."""
    kept = Encoding(mode="jpg")
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        print(f"\rround {number + 1} of {ROUNDS}", end="", file=sys.stderr)
        decoding = in_threads(decode, contents)
        encoding = in_threads(decode_and_encode, contents)
        reducing = in_threads(decode_reduce_and_encode, contents)
        prepare_kept, verify_kept = prepare(source, kept, len(contents))
        prepare_reduced, _ = prepare(source, REDUCED, len(contents))
        for name, rate, limit in (
            ("prepared as they came, beside decoding and encoding", prepare_kept, encoding),
            (
                "prepared and reduced, beside decoding, reducing and encoding",
                prepare_reduced,
                reducing,
            ),
            ("verified, beside decoding", verify_kept, decoding),
        ):
            found.setdefault(name, []).append(rate / limit)
        print(
            f"  decode {decoding:.0f} img/s, decode and encode {encoding:.0f}, "
            f"with reducing {reducing:.0f}; prepare {prepare_kept:.0f}, "
            f"reduce {prepare_reduced:.0f}, verify {verify_kept:.0f}",
            file=sys.stderr,
        )
    return found


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of <class>/<image>, JPEG")
    folder = parser.parse_args().folder
    contents = [path.read_bytes() for path in sorted(folder.glob("*/*")) if path.is_file()]
    medians = {name: statistics.median(r) for name, r in measure(folder, contents).items()}
    for name, ratio in medians.items():
        print(f"{ratio:.3f}  {name}")
    passed = min(medians.values()) >= LIMIT
    print(f"{'PASS' if passed else 'FAIL'}: each at least {LIMIT}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
