"""What the forked ranks of these tests do."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from resnet_cluster.data import Normalize, load_manifest
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import (
    EpochResult,
    FinalResult,
    LocalContext,
    Progress,
    Report,
    WeightsFile,
    gradients,
    pulse,
    run,
)
from resnet_cluster.training.gradients import GradientSum
from resnet_cluster.training.probe import Prober


def train(
    rank: int,
    world_size: int,
    folder: Path,
    *,
    job: str,
    dataset: str,
    checkpoint_every_steps: int = 0,
    stop_at: tuple[int, int] | None = None,
    bucket_bytes: int | None = None,
) -> None:
    """Train a job and write down each report and the outcome.

    Args:
        job: as JSON.
        stop_at: a rank and the step from which it is asked to stop; the ranks then agree at every
            step, as they do when a step takes a second.
        bucket_bytes: of gradients, so that a small net has several buckets.
    """
    torch.set_num_threads(1)
    if bucket_bytes:
        gradients.BUCKET_BYTES = bucket_bytes
    if stop_at:
        pulse.SECONDS_BETWEEN = 0.0
    asked, last_step = stop_at or (-1, 0), 0
    with (folder / f"reports-{rank}.jsonl").open("a") as file:

        def write(report: Report | dict[str, Any]) -> None:
            nonlocal last_step
            if isinstance(report, Progress):
                last_step = report.step
            else:
                content = report if isinstance(report, dict) else _content(report)
                print(json.dumps(content, default=str), file=file, flush=True)

        context = LocalContext(
            run_dir=folder,
            world_rank=rank,
            world_size=world_size,
            checkpoint_every_steps=checkpoint_every_steps,
            report=write,
            # The step that is being agreed on comes after the last that was reported.
            stop_requested=lambda: rank == asked[0] and last_step + 1 >= asked[1],
            training_begins=lambda step: write({"kind": "begins", "step": step}),
        )
        outcome = run(JobSpec.model_validate_json(job), load_manifest(dataset), context)
        write({"kind": "outcome"} | asdict(outcome))


def _content(report: EpochResult | FinalResult | WeightsFile) -> dict[str, Any]:
    return {"kind": type(report).__name__} | asdict(report)


def sum_gradients(rank: int, world_size: int, folder: Path, *, bucket_bytes: int) -> None:
    """Compare summed gradients with those of one process that sees every rank's images."""
    torch.set_num_threads(1)
    gradients.BUCKET_BYTES = bucket_bytes

    def build() -> torch.nn.Sequential:
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 5)
        )
        return net.to(memory_format=torch.channels_last).double()

    # Each rank takes another number of passes: as many as its number, counted from 1.
    draw = torch.Generator().manual_seed(1)
    images = [
        [torch.randn(2, 3, 4, 4, generator=draw).double() for _ in range(place + 1)]
        for place in range(world_size)
    ]
    net, reference = build(), build()
    summed = GradientSum(net, world_size)
    for _ in range(2):
        net.zero_grad(set_to_none=True)
        for place, image in enumerate(images[rank], start=1):
            if place == len(images[rank]):
                summed.before_last_backward()
            net(image).square().sum().backward()
        summed.finish()
    for image in (image for own in images for image in own):
        reference(image).square().sum().backward()
    for ours, theirs in zip(net.parameters(), reference.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)
        _assert_alike(ours.grad, rank)


def _assert_alike(tensor: torch.Tensor, rank: int) -> None:
    """Every rank has the same to the last bit."""
    first = tensor.clone()
    dist.broadcast(first, src=0)
    assert torch.equal(first, tensor), f"rank {rank} has other gradients than rank 0"


def train_in_double(rank: int, world_size: int, folder: Path, **arguments: Any) -> None:
    """Train a job with images, weights and statistics of doubles, where rounding hides nothing."""
    module: Any = importlib.import_module("resnet_cluster.training.run")
    build, normalize = module.initialised_net, Normalize.__call__
    module.initialised_net = lambda *args: build(*args).double()
    Normalize.__call__ = lambda *args: normalize(*args).double()  # type: ignore[method-assign]
    train(rank, world_size, folder, **arguments)


def probe(rank: int, world_size: int, folder: Path, *, job: str, dataset: str) -> None:
    """Time a job for a moment; the ranks' own clocks differ."""
    torch.set_num_threads(1)
    context = LocalContext(run_dir=folder, world_rank=rank, world_size=world_size)
    prober = Prober(JobSpec.model_validate_json(job), load_manifest(dataset), context)
    steps = 0
    take = prober._take

    def counting(number: int) -> float:
        nonlocal steps
        steps += number
        return take(number) * (1 + 3 * rank)

    prober._take = counting  # type: ignore[method-assign]
    speed = prober.measure(seconds=0.3)
    prober.close()
    found = {"steps": steps, "step_s": speed.step_s}
    (folder / f"speed-{rank}.json").write_text(json.dumps(found))
