"""What measuring many views costs beside the forward passes that it needs.

    python benchmarks/protocols.py FOLDER    # of <class>/<image>, JPEG

A ResNet-18 measures 48 photographs. In five rounds, in turns:

- 10-crop, beside ten timed forward passes of the same crops and one decoding of the images;
- multi-scale at 224, 256 and 384 pixels with mirror images, beside each of its views by itself.

Ours keeps the predictions of each view, as a run does. A figure is the median of the rounds' ratios
of wall time. Exit code 0: each is at most 1.1. 1: one is not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from resnet_cluster.data import TenCrop, WholeImage, load_manifest, training_statistics
from resnet_cluster.data.conversion import convert
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.data.request import ConversionRequest
from resnet_cluster.evaluation import evaluate_single
from resnet_cluster.spec import JobSpec, MultiScale, TenCrops
from resnet_cluster.training import LocalContext
from resnet_cluster.training.pixels import build_pixels
from resnet_cluster.training.predictions import Shelf, measure_and_keep
from resnet_cluster.training.run import initialised_net
from resnet_cluster.training.split import EvalSplit, build_eval_split

NUM_IMAGES, ROUNDS, LIMIT = 48, 5, 1.1
SCALES = (224, 256, 384)
JOB = {
    "name": "bench",
    "seed": 0,
    "model": {"family": "imagenet", "depth": 18, "shortcut": "B"},
    "data": {
        "name": "bench",
        "crop": {"kind": "random_resized", "size": 224},
        "view": {"resize": 256, "size": 224},
        "augment": {"pad": 0, "flip": True},
        "normalize": "channel_mean_std",
    },
    "train": {
        "global_batch_size": 8,
        "bn_group": 8,
        "iterations": 1,
        "lr": 0.1,
        "schedule": {"kind": "constant"},
        "precision": "off",
    },
}


def build(folder: str) -> tuple[EvalSplit, nn.Module]:
    """The split and the network."""
    job, manifest = JobSpec.model_validate(JOB), load_manifest(folder)
    device = torch.device("cpu")
    statistic = training_statistics(manifest, np.arange(manifest.train.num_images))
    context = LocalContext(run_dir=Path(), loader_threads=len(os.sched_getaffinity(0)))
    indices = np.arange(min(NUM_IMAGES, manifest.test.num_images))
    pixels = build_pixels(job, statistic, device)
    split = build_eval_split(job, manifest, "test", indices, pixels, context)
    return split, initialised_net(job, len(manifest.classes), device).eval()


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@torch.inference_mode()
def ten_crop_ratio(split: EvalSplit, net: nn.Module, crops: list[Tensor]) -> float:
    """10-crop beside its parts."""
    whole = timed(partial(measure_whole, split, net, TenCrops(256, 224, "softmax")))
    decoding = timed(lambda: list(split.loader.batches()))
    passes = [timed(partial(net, batch)) for batch in crops]
    return whole / (decoding + sum(passes))


@torch.inference_mode()
def scales_ratio(split: EvalSplit, net: nn.Module) -> float:
    """Multi-scale beside each of its views."""
    whole = timed(partial(measure_whole, split, net, MultiScale(SCALES, "softmax")))
    parts = 0.0
    for scale in SCALES:
        for mirrored in (False, True):
            view = WholeImage(resize=scale, mirrored=mirrored)
            parts += timed(partial(measure_alone, split, net, view))
    return whole / parts


def measure_whole(split: EvalSplit, net: nn.Module, protocol: TenCrops | MultiScale) -> None:
    """As a run does at its end."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(run_dir=Path(folder), limit_bytes=10**9, world_rank=0, world_size=1)
        contents = split.contents(protocol, "final", 0)
        assert measure_and_keep(split, net, protocol, contents, shelf).not_kept == ""


def measure_alone(split: EvalSplit, net: nn.Module, view: WholeImage) -> None:
    """A view as if it were the only one."""
    with split.loader.batches(view) as batches:
        evaluate_single(
            net,
            batches,
            split.pixels.normalize,
            num_images=split.num_images,
            num_classes=split.num_classes,
            device=split.device,
        )


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of <class>/<image>, JPEG")
    source = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as folder:
        request = ConversionRequest(
            source=str(source),
            folder=folder,
            name="x",
            size=None,
            seed=0,
            encoding=Encoding(mode="jpg"),
        )
        convert(request, lambda event: None)
        split, net = build(folder)
        with split.loader.batches(TenCrop(side=224, resize=256)) as batches:
            crops = [split.pixels.normalize(batch.images) for batch in batches]
        found: dict[str, list[float]] = {"10-crop": [], "multi-scale": []}
        for number in range(ROUNDS + 1):
            print(f"\rround {number} of {ROUNDS}", end="", file=sys.stderr)
            ratios = ten_crop_ratio(split, net, crops), scales_ratio(split, net)
            if number:  # the first one warms up
                for each, ratio in zip(found.values(), ratios, strict=True):
                    each.append(ratio)
    print(file=sys.stderr)
    medians = {name: statistics.median(ratios) for name, ratios in found.items()}
    for name, ratio in medians.items():
        print(f"{ratio:.3f}  {name}")
    passed = max(medians.values()) <= LIMIT
    print(f"{'PASS' if passed else 'FAIL'}: each at most {LIMIT}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
