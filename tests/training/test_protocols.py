"""Protocols from beton to score, against PIL, torchvision's transforms and a loop over images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from beton_images import beton_images
from PIL import Image
from ranks import RankServer
from tiny_jobs import final_weights, make_photo_job, make_tiny_job, train
from torch import Tensor, nn
from torchvision.transforms import functional

from resnet_cluster.data import load_manifest, prepare
from resnet_cluster.data.encoding import Encoding
from resnet_cluster.errors import UsageError
from resnet_cluster.evaluation import Predictions, predictions_folder
from resnet_cluster.nets import build_net
from resnet_cluster.spec import Centre, JobSpec, MultiScale, TenCrops
from resnet_cluster.training import LocalContext
from resnet_cluster.training.measure import measure

SCALES = (56, 64, 80)


def photo_job(**changes: Any) -> JobSpec:
    """Measured under every protocol."""
    return make_photo_job(
        {
            "data.normalize": "channel_mean",
            "evaluate.protocols": ["single", "flip", "centre", "ten-crop", "multi-scale"],
            "evaluate.centre": {"resize": 90, "size": 80},
            "evaluate.scales": list(SCALES),
            **changes,
        }
    )


def _net(job: JobSpec, run_dir: Path, num_classes: int) -> nn.Module:
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=num_classes)
    net.load_state_dict(final_weights(run_dir))
    return net.eval()


def _score(probabilities: list[Tensor], labels: list[int]) -> tuple[float, float]:
    """Mean loss and percent error."""
    mean = torch.stack(probabilities)
    right = mean.argmax(1) == torch.tensor(labels)
    loss = -mean[range(len(labels)), labels].log().mean()
    return float(loss), 100.0 * (1 - float(right.float().mean()))


def _larger(net: nn.Module, image: Image.Image, mean: Tensor) -> Tensor:
    """What a network says of the centre of 80 pixels, once the shorter side has 90."""
    view = functional.center_crop(functional.resize(image, [90]), [80, 80])
    return net((functional.pil_to_tensor(view).float() - mean)[None]).softmax(1)[0]


def test_photographs_under_every_protocol(photos: Path, tmp_path: Path) -> None:
    job = photo_job()
    _, journal = train(job, photos, tmp_path)
    single, flip, centre, ten, scaled = journal.finals
    assert single.protocol == "single"
    assert flip.protocol == "flip-softmax"
    assert centre.protocol == "centre-80of90"
    assert ten.protocol == "ten-crop-64of73-softmax"
    assert scaled.protocol == "multi-scale-56-64-80-softmax"
    assert [final.score.num_images for final in journal.finals] == [16] * 5

    manifest = load_manifest(str(photos))
    net = _net(job, tmp_path, 2)
    mean = torch.tensor(manifest.channel_mean).float().view(3, 1, 1)
    by_flip, by_crop, by_scale, larger, labels = [], [], [], [], []
    with torch.no_grad():
        for image, label in beton_images(photos, "test"):
            labels.append(label)
            crops = functional.ten_crop(functional.resize(image, [73]), [64, 64])
            views = torch.stack([functional.pil_to_tensor(crop).float() - mean for crop in crops])
            by_crop.append(net(views).softmax(1).mean(0))
            by_flip.append(net(views[[4, 9]]).softmax(1).mean(0))  # the centre and its mirror image
            larger.append(_larger(net, image, mean))
            seen = []
            for scale in SCALES:
                whole = functional.pil_to_tensor(functional.resize(image, [scale])).float() - mean
                seen += [net(view[None]).softmax(1)[0] for view in (whole, whole.flip(-1))]
            by_scale.append(torch.stack(seen).mean(0))
    ours = (flip, centre, ten, scaled)
    for final, probabilities in zip(ours, (by_flip, larger, by_crop, by_scale), strict=True):
        loss, error = _score(probabilities, labels)
        assert final.score.loss == pytest.approx(loss, abs=1e-2)
        assert final.score.top1_err == pytest.approx(error)


def test_small_squares_in_ten_crops(few_digits: Path, tmp_path: Path) -> None:
    job = make_tiny_job({"evaluate.protocols": ["ten-crop", "flip"]})
    _, journal = train(job, few_digits, tmp_path)
    ten, flip = journal.finals
    assert ten.protocol == "ten-crop-8pad4-softmax"
    net, mean = _net(job, tmp_path, 10), load_manifest(str(few_digits)).pixel_mean()
    probabilities, both, labels = [], [], []
    with torch.no_grad():
        for image, label in beton_images(few_digits, "test"):
            labels.append(label)
            pixels = torch.from_numpy(np.asarray(image, np.float32) - mean).permute(2, 0, 1)
            crops = functional.ten_crop(functional.pad(pixels, [4] * 4), [8, 8])
            probabilities.append(net(torch.stack(crops)).softmax(1).mean(0))
            both.append(net(torch.stack((pixels, pixels.flip(-1)))).softmax(1).mean(0))
    for final, expected in ((ten, probabilities), (flip, both)):
        loss, error = _score(expected, labels)
        assert final.score.loss == pytest.approx(loss, rel=1e-4)
        assert final.score.top1_err == pytest.approx(error)


def test_several_scales_subtract_the_mean_colour_of_a_mean_image(
    few_digits: Path, tmp_path: Path
) -> None:
    changes = {"evaluate.protocols": ["multi-scale"], "evaluate.scales": [8, 12]}
    job = make_tiny_job(changes)
    assert job.data.normalize == "pixel_mean"
    _, journal = train(job, few_digits, tmp_path)
    net, manifest = _net(job, tmp_path, 10), load_manifest(str(few_digits))
    mean = torch.tensor(manifest.channel_mean).float().view(3, 1, 1)
    probabilities, labels = [], []
    with torch.no_grad():
        for image, label in beton_images(few_digits, "test"):
            labels.append(label)
            seen = []
            for scale in (8, 12):
                whole = functional.pil_to_tensor(functional.resize(image, [scale])).float() - mean
                seen += [net(view[None]).softmax(1)[0] for view in (whole, whole.flip(-1))]
            probabilities.append(torch.stack(seen).mean(0))
    loss, error = _score(probabilities, labels)
    (final,) = journal.finals
    assert final.score.loss == pytest.approx(loss, abs=2e-3)
    assert final.score.top1_err == pytest.approx(error)


def test_after_the_training_the_figures_are_the_same(photos: Path, tmp_path: Path) -> None:
    job = photo_job(**{"data.normalize": "channel_mean_std"})
    _, journal = train(job, photos, tmp_path)
    for final, protocol in zip(
        journal.finals[2:],
        (Centre(90, 80), TenCrops(73, 64, "softmax"), MultiScale(SCALES, "softmax")),
        strict=True,
    ):
        assert final.protocol == protocol.identity
        seen: list[tuple[int, int]] = []
        measured = measure(
            job,
            load_manifest(str(photos)),
            final_weights(tmp_path),
            protocol,
            LocalContext(run_dir=tmp_path, loader_threads=2),
            step=final.step,
            on_progress=lambda done, total, seen=seen: seen.append((done, total)),
        )
        assert measured.result == final
        assert measured.not_kept == ""
        num_views = 16 * protocol.num_views
        assert seen[-1] == (num_views, num_views)


def test_what_is_kept_of_each_view_is_what_one_image_after_the_other_gives(
    server: RankServer, photos: Path, tmp_path: Path
) -> None:
    """Three ranks keep sixteen images; PIL and torchvision bring their views."""
    job = photo_job(**{"train.bn_group": 4})
    for world_size in (1, 3):
        server.run(
            "rank_functions:train",
            tmp_path / str(world_size),
            world_size=world_size,
            job=job.model_dump_json(),
            dataset=str(photos),
        )
        run_dir = tmp_path / str(world_size)
        kept = {
            name: Predictions(predictions_folder(run_dir, name, "test", "final"))
            for name in ("ten-crop-64of73-softmax", "multi-scale-56-64-80-softmax")
        }
        assert {len(each.contents.files) for each in kept.values()} == {world_size}
        net, mean = _net(job, run_dir, 2), _mean_colour(photos)
        with torch.no_grad():
            for place, (image, label) in enumerate(beton_images(photos, "test")):
                crops = functional.ten_crop(functional.resize(image, [73]), [64, 64])
                whole = [functional.resize(image, [scale]) for scale in SCALES]
                seen = {
                    "ten-crop-64of73-softmax": list(crops),
                    "multi-scale-56-64-80-softmax": [
                        view for one in whole for view in (one, functional.hflip(one))
                    ],
                }
                for name, views in seen.items():
                    found = kept[name].scores(place, place + 1)
                    pixels = [functional.pil_to_tensor(view).float() - mean for view in views]
                    expected = torch.cat([net(one[None]).log_softmax(1) for one in pixels])
                    assert found.labels.tolist() == [label]
                    torch.testing.assert_close(found.log_probs[0], expected, atol=0.02, rtol=0.01)


def _mean_colour(photos: Path) -> Tensor:
    return torch.tensor(load_manifest(str(photos)).channel_mean).float().view(3, 1, 1)


def test_a_run_keeps_no_more_than_it_may(few_digits: Path, tmp_path: Path) -> None:
    job = make_tiny_job({"evaluate.protocols": ["ten-crop", "single"]})
    for name, limit, kept in (
        ("all", 1.0, ["single", "ten-crop-8pad4-softmax"]),
        ("some", 6e-6, ["single"]),  # one view of 70 images takes 5.4 kB
        ("none", 0.0, []),
    ):
        evaluate = job.evaluate.model_copy(update={"predictions_gb": limit})
        _, journal = train(
            job.model_copy(update={"evaluate": evaluate}), few_digits, tmp_path / name
        )
        assert len(journal.finals) == 2
        folders = sorted((tmp_path / name / "predictions").glob("*"))
        assert [folder.name for folder in folders] == [f"{each}-test-final" for each in kept]


@pytest.mark.parametrize("depth", [18, 50])
def test_a_classifier_at_each_place_averages_to_the_one_after_the_average(depth: int) -> None:
    """The fully-convolutional form of section 3.4: fc as a 1x1 convolution."""
    torch.manual_seed(0)
    net = build_net(family="imagenet", depth=depth, shortcut="B", num_classes=7).eval()
    maps: list[Tensor] = []
    linear = next(module for module in net.modules() if isinstance(module, nn.Linear))
    pool = next(module for module in net.modules() if isinstance(module, nn.AdaptiveAvgPool2d))
    pool.register_forward_pre_hook(lambda _, arguments: maps.append(arguments[0]))
    images = torch.randn(2, 3, 160, 224)
    with torch.no_grad():
        scores = net(images)
        weight = linear.weight[:, :, None, None]
        dense = nn.functional.conv2d(maps[0], weight, linear.bias)
    assert dense.shape[2:] == (5, 7)
    torch.testing.assert_close(dense.mean(dim=(2, 3)), scores, rtol=1e-4, atol=1e-4)


def test_an_image_that_is_too_long_for_a_scale_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(20):
        shape = (8, 3000, 3) if place == 19 else (64, 64, 3)
        folder = tmp_path / "images" / ("test" if place > 15 else "train") / "ab"[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(shape, place, np.uint8)).save(folder / f"{place}.jpg")
    monkeypatch.setenv("RESNET_CLUSTER_DATA", str(tmp_path / "data"))
    prepare(str(tmp_path / "images"), name="long", encoding=Encoding(mode="jpg"))
    changes = {"evaluate.scales": [64, 640], "train.global_batch_size": 8}
    with pytest.raises(UsageError, match="3000x8, would have 153,600,000 pixels") as refused:
        train(photo_job(**changes), tmp_path / "data" / "long", tmp_path / "run")
    assert "leave out the largest scales" in refused.value.mend
    assert not (tmp_path / "run").exists()
