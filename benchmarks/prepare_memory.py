"""Memory that preparing ImageNet's number of images takes, extrapolated from two smaller numbers.

    python benchmarks/prepare_memory.py

Two tars of tiny JPEG files are prepared, named as ImageNet's are: what grows with the number of
images (names, places, tables) does not depend on their size. Exits with 1 where a straight line
through the peaks of proportional set size (PSS), summed over the process tree, is above 2 GiB at
1,281,167 training and 50,000 validation images.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from prepare import PeakMemory

from resnet_cluster.data import prepare
from resnet_cluster.data.encoding import Encoding

SIZES = (20_000, 80_000)
IMAGENET = 1_281_167 + 50_000
LIMIT_MIB = 2048.0
NUM_CLASSES = 1000


def write_tar(path: Path, number: int) -> None:
    """So many copies of a tiny picture, in class folders."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    with tarfile.open(path, "w") as tar:
        for place in range(number):
            wnid = f"n{place % NUM_CLASSES:08d}"
            split = "val" if place // NUM_CLASSES % 20 == 19 else "train"
            info = tarfile.TarInfo(f"{split}/{wnid}/{wnid}_{place}.JPEG")
            info.size = len(file.getvalue())
            tar.addfile(info, io.BytesIO(file.getvalue()))


def peak_mib(number: int) -> float:
    """Peak PSS of preparing so many images."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESNET_CLUSTER_HOME"] = folder
        write_tar(Path(folder, "images.tar"), number)
        memory = PeakMemory()
        memory.start()
        prepare(str(Path(folder, "images.tar")), name="images", encoding=Encoding(mode="jpg"))
        memory.ended.set()
        memory.join()
    return memory.peak_mib


def main() -> int:
    """Measure, extrapolate and judge."""
    peaks = [peak_mib(number) for number in SIZES]
    for number, peak in zip(SIZES, peaks, strict=True):
        print(f"{number:>9,} images: {peak:6.0f} MiB at most")
    each = (peaks[1] - peaks[0]) / (SIZES[1] - SIZES[0])
    whole = peaks[1] + each * (IMAGENET - SIZES[1])
    print(f"{IMAGENET:>9,} images: {whole:6.0f} MiB by a straight line, {each * 1024:.2f} KiB each")
    print(f"{'PASS' if whole <= LIMIT_MIB else 'FAIL'}: at most {LIMIT_MIB:.0f} MiB")
    return 0 if whole <= LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
