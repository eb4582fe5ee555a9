"""Prints docs/data.md: what each form of a data set takes, and what it does to the pixels.

python docs/encodings.py FOLDER > docs/data.md    # of <class>/<image>, photographs
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_cluster.data.beton import JPEG_MODE, read_index
from resnet_cluster.data.conversion import convert
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.data.manifest import load_manifest
from resnet_cluster.data.request import ConversionRequest

FORMS = {
    "`--mode jpg`": Encoding(mode="jpg"),
    "`--mode jpg --shorter-side 480`": Encoding(mode="jpg", shorter_side=480),
    "`--mode jpg --shorter-side 256`": Encoding(mode="jpg", shorter_side=256),
    "`--mode jpg --longer-side 500`": Encoding(mode="jpg", longer_side=500),
    "`--mode raw --longer-side 500`": Encoding(mode="raw", longer_side=500),
    "`--mode raw --shorter-side 256`": Encoding(mode="raw", shorter_side=256),
    "`--mode proportion --longer-side 500`": Encoding(mode="proportion", longer_side=500),
}
INTRODUCTION = """# Forms of a data set

Written by `python docs/encodings.py FOLDER`, from {number} photographs of ImageNet
({bytes:.1f} MB of JPEG files) on a virtual machine with 2 cores of an AMD EPYC. The difference is
that of the stored pixels to those that PIL decodes and, where the form reduces them, resizes: the
mean over all images, in grey levels of 255.

| form | MB | images/s | difference | original bytes kept |
|---|---|---|---|---|"""


def row(name: str, encoding: Encoding, source: Path) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        request = ConversionRequest(
            source=str(source), folder=folder, name="x", size=None, seed=0, encoding=encoding
        )
        began = time.perf_counter()
        convert(request, lambda event: None)
        seconds = time.perf_counter() - began
        manifest = load_manifest(folder)
        assert manifest.storage is not None
        number = manifest.train.num_images + manifest.test.num_images
        stored, difference = _compare(Path(folder), source, encoding)
    return (
        f"| {name} | {stored / 1e6:.1f} | {number / seconds:.0f} | {difference:.2f} | "
        f"{manifest.storage.num_kept} of {number} |"
    )


def _compare(folder: Path, source: Path, encoding: Encoding) -> tuple[int, float]:
    """Bytes of the stored images, and their difference to PIL's pixels."""
    from resnet_cluster.data.splits import split_holdout

    paths = sorted(source.glob("*/*"))
    classes = sorted({path.parent.name for path in paths})
    labels = np.array([classes.index(path.parent.name) for path in paths], np.int64)
    parts = split_holdout(labels, round(len(labels) / 5), 0)
    num_bytes, differences = 0, []
    for split, places in zip(("train", "test"), parts, strict=True):
        index = read_index(folder / f"{split}.beton")
        content = index.path.read_bytes()
        for place, original in enumerate(places):
            at, length = int(index.pointers[place]), int(index.lengths[place])
            num_bytes += length
            kept = content[at : at + length]
            image = Image.open(paths[original]).convert("RGB")
            size = encoding.reduced(*image.size)
            expected = np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.int16)
            if index.modes[place] == JPEG_MODE:
                pixels = np.asarray(Image.open(io.BytesIO(kept)).convert("RGB"))
            else:
                pixels = np.frombuffer(kept, np.uint8).reshape(expected.shape)
            differences.append(float(np.abs(expected - pixels).mean()))
    return num_bytes, float(np.mean(differences))


def main() -> None:
    """Print the page."""
    source = Path(sys.argv[1])
    sizes = [path.stat().st_size for path in source.glob("*/*")]
    print(INTRODUCTION.format(number=len(sizes), bytes=sum(sizes) / 1e6))
    for name, encoding in FORMS.items():
        print(row(name, encoding, source), flush=True)


if __name__ == "__main__":
    main()
