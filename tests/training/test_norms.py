"""Recorded norms against autograd's on a net that changes nothing in place; and what they cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from ranks import RankServer
from tiny_jobs import Journal, assert_same, final_weights, make_tiny_job, read_json_lines, train
from torch import Tensor, nn

from resnet_cluster.data import load_manifest
from resnet_cluster.errors import JobError
from resnet_cluster.spec import JobSpec
from resnet_cluster.spec.base import SpecError
from resnet_cluster.training import LocalContext, NormsResult
from resnet_cluster.training.images import build_images
from resnet_cluster.training.run import initialised_net


def recorded(journal: Journal) -> list[NormsResult]:
    return [report for report in journal.reports if isinstance(report, NormsResult)]


def by_autograd(job: JobSpec, dataset: Path, run_dir: Path) -> dict[str, tuple[float, float]]:
    """The norms of the first micro-batch, on the initial weights."""
    images = build_images(job, load_manifest(str(dataset)), LocalContext(run_dir=run_dir))
    with images.train.batches(0, first_step=0) as batches:
        batch = next(iter(batches))
    net = initialised_net(job, 10, torch.device("cpu")).train()
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    kept: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> Tensor:
        output.retain_grad()
        kept[name] = output
        return output.clone()  # a block may add to it in place

    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d) and "downsample" not in name:
            convolution = name.replace("bn", "conv")
            module.register_forward_hook(lambda _, __, out, name=convolution: keep(name, out))
    drawn = images.pixels.drawn(batch.sample_ids, 0, batch.images.device)
    F.cross_entropy(net(images.pixels.augmented(batch.images, drawn)), batch.labels).backward()
    return {
        name: (
            float(output.detach().square().mean().sqrt()),
            float(output.grad.square().mean().sqrt()) if output.grad is not None else 0.0,
        )
        for name, output in kept.items()
    }


@pytest.mark.parametrize("shortcut", ["none", "A", "B"])
def test_norms_are_autograds(few_digits: Path, tmp_path: Path, shortcut: str) -> None:
    job = make_tiny_job({"evaluate.norms_every": 1, "model.shortcut": shortcut})
    _, journal = train(job, few_digits, tmp_path / "run")
    first, second = recorded(journal)
    assert ((first.epoch, first.step), (second.epoch, second.step)) == ((1, 0), (2, 5))
    expected = by_autograd(job, few_digits, tmp_path)
    assert [layer.name for layer in first.layers] == list(expected)
    assert len(expected) == 7
    for layer in first.layers:
        assert (layer.forward, layer.gradient) == pytest.approx(expected[layer.name], rel=1e-4)
        assert layer.gradient > 0


@pytest.mark.parametrize("precision", ["off", "bf16"])
def test_a_watched_training_is_the_same_to_the_last_bit(
    few_digits: Path, tmp_path: Path, precision: str
) -> None:
    for every in (0, 1):
        job = make_tiny_job({"evaluate.norms_every": every, "train.precision": precision})
        train(job, few_digits, tmp_path / str(every))
    assert_same(final_weights(tmp_path / "0"), final_weights(tmp_path / "1"))


def test_the_scale_of_half_precision_is_taken_out(few_digits: Path, tmp_path: Path) -> None:
    found = []
    for precision in ("off", "fp16"):
        job = make_tiny_job({"evaluate.norms_every": 2, "train.precision": precision})
        _, journal = train(job, few_digits, tmp_path / precision)
        (norms,) = recorded(journal)  # of two epochs, every second
        found.append([layer.gradient for layer in norms.layers])
    assert found[1] == pytest.approx(found[0], rel=0.1)


def test_two_workers_record_what_one_does(
    server: RankServer, few_digits: Path, tmp_path: Path
) -> None:
    job = make_tiny_job({"evaluate.norms_every": 1})
    for world_size in (1, 2):
        server.run(
            "rank_functions:train_in_double",
            tmp_path / str(world_size),
            world_size=world_size,
            job=job.model_dump_json(),
            dataset=str(few_digits),
        )
    alone, *more = (
        [report for report in read_json_lines(path) if report["kind"] == "NormsResult"]
        for path in (
            tmp_path / "1" / "reports-0.jsonl",
            tmp_path / "2" / "reports-0.jsonl",
            tmp_path / "2" / "reports-1.jsonl",
        )
    )
    together, other = more
    assert other == []
    assert len(alone) == len(together) == 2
    for one, both in zip(alone, together, strict=True):
        for mine, theirs in zip(one["layers"], both["layers"], strict=True):
            assert mine["forward"] == pytest.approx(theirs["forward"], rel=1e-6)
            assert mine["gradient"] == pytest.approx(theirs["gradient"], rel=1e-6)


def test_a_compiled_network_cannot_be_watched() -> None:
    with pytest.raises((SpecError, JobError, ValueError), match="compiled network"):
        make_tiny_job({"evaluate.norms_every": 1, "train.compile": True})
