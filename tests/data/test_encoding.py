"""Images of many sizes: kept as they came, reduced, as JPEG or raw, and read by plain FFCV."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_files import encoded, write_tar
from PIL import Image
from torchvision.transforms import functional

from resnet_cluster.data import Manifest, prepare
from resnet_cluster.data.beton import JPEG_MODE, RAW_MODE, BetonIndex, read_index
from resnet_cluster.data.encoding import Encoding, Mode
from resnet_cluster.data.writer import PAGE_BYTES
from resnet_cluster.errors import IntegrityError, UsageError

NUM_PHOTOS = 40

PLAIN_FFCV = """
import sys
import numpy as np
from ffcv.fields.basics import IntDecoder
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption

beton, out = sys.argv[1:]
loader = Loader(
    beton, batch_size=8, num_workers=1, order=OrderOption.SEQUENTIAL, drop_last=False,
    pipelines={"image": [CenterCropRGBImageDecoder((64, 64), 0.875)], "label": [IntDecoder()]},
)
images, labels = zip(*((image.copy(), label.copy()) for image, label in loader))
np.savez(out, images=np.concatenate(images), labels=np.concatenate(labels))
"""


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> dict[str, bytes]:
    """Real photographs by name, in two classes and splits."""
    found = []
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        while len(found) < NUM_PHOTOS and (member := tar.next()):
            if member.isfile():
                content = tar.extractfile(member)
                assert content is not None
                found.append(content.read())
    folders = [f"{split}/{label}" for split in ("train", "val") for label in "ab"]
    return {f"{folders[n % 4]}/{n:03d}.JPEG": content for n, content in enumerate(found)}


def prepared(
    images: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoding: Encoding | None,
    **more: Any,
) -> Manifest:
    """The images in a tar, prepared in a home of their own."""
    monkeypatch.setenv("RESNET_CLUSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RESNET_CLUSTER_DATA", raising=False)
    write_tar(tmp_path / "images.tar", images)
    source = str(tmp_path / "images.tar")
    return prepare(source, name="images", encoding=encoding, **more).manifest


def stored(manifest: Manifest, split: str, place: int) -> bytes:
    """The bytes of an image in its beton."""
    index = read_index(manifest.folder / f"{split}.beton")
    with index.path.open("rb") as file:
        file.seek(int(index.pointers[place]))
        return file.read(int(index.lengths[place]))


def in_order(images: dict[str, bytes], split: str) -> list[bytes]:
    """The contents of a split in the order of its beton: by class, then by name."""
    return [images[name] for name in sorted(images) if name.startswith(f"{split}/")]


def sizes(index: BetonIndex) -> list[tuple[int, int]]:
    """Width and height of each image."""
    return list(zip(index.widths.tolist(), index.heights.tolist(), strict=True))


def opened(content: bytes) -> Image.Image:
    """As PIL decodes it."""
    return Image.open(io.BytesIO(content)).convert("RGB")


def test_jpeg_files_are_kept_to_the_byte(
    photographs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepared(photographs, tmp_path, monkeypatch, Encoding(mode="jpg"))
    for split, beton in (("train", "train"), ("val", "test")):
        originals = in_order(photographs, split)
        index = read_index(manifest.folder / f"{beton}.beton")
        assert (index.modes == JPEG_MODE).all()
        assert sizes(index) == [opened(content).size for content in originals]
        for place, content in enumerate(originals):
            assert stored(manifest, beton, place) == content
    assert manifest.storage is not None
    assert manifest.storage.num_kept == manifest.storage.num_jpeg == NUM_PHOTOS
    assert manifest.image_size is None
    widths = [opened(content).width for content in photographs.values()]
    assert (manifest.storage.min_width, manifest.storage.max_width) == (min(widths), max(widths))


def test_raw_pixels_are_those_that_pil_decodes(
    photographs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepared(photographs, tmp_path, monkeypatch, Encoding(mode="raw"))
    index = read_index(manifest.beton("train"))
    assert (index.modes == RAW_MODE).all()
    for place, content in enumerate(in_order(photographs, "train")):
        assert stored(manifest, "train", place) == np.asarray(opened(content)).tobytes()


@pytest.mark.parametrize(("which", "cap"), [("shorter_side", 200), ("longer_side", 300)])
def test_large_images_are_reduced_and_the_others_left(
    which: str,
    cap: int,
    photographs: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoding = Encoding(mode="raw", **{which: cap})  # type: ignore[arg-type]
    manifest = prepared(photographs, tmp_path, monkeypatch, encoding)
    side = min if which == "shorter_side" else max
    for place, content in enumerate(in_order(photographs, "train")):
        original = opened(content)
        scale = min(1.0, cap / side(original.size))
        expected = (round(original.width * scale), round(original.height * scale))
        index = read_index(manifest.beton("train"))
        assert sizes(index)[place] == expected
        pixels = np.frombuffer(stored(manifest, "train", place), np.uint8)
        # torchvision's resize of tensors is another implementation of the antialiased filter.
        tensor = torch.from_numpy(np.array(original)).permute(2, 0, 1)
        resized = functional.resize(tensor, list(expected[::-1]), antialias=True)
        difference = np.abs(
            pixels.reshape(expected[1], expected[0], 3).astype(int)
            - resized.permute(1, 2, 0).numpy()
        )
        assert difference.mean() < 0.5


@given(
    width=st.integers(8, 5000),
    height=st.integers(8, 5000),
    shorter=st.none() | st.integers(8, 4096),
    longer=st.none() | st.integers(8, 4096),
)
def test_no_image_is_enlarged_or_left_too_large(
    width: int, height: int, shorter: int | None, longer: int | None
) -> None:
    encoding = Encoding(mode="jpg", shorter_side=shorter, longer_side=longer)
    reduced = encoding.reduced(width, height)
    assert reduced[0] <= width
    assert reduced[1] <= height
    assert shorter is None or min(reduced) <= max(shorter, 1)
    assert longer is None or max(reduced) <= longer
    is_small = (not shorter or min(width, height) <= shorter) and (
        not longer or max(width, height) <= longer
    )
    assert (reduced == (width, height)) == is_small or max(width, height) - max(reduced) < 1


@pytest.mark.parametrize(("mode", "share"), [("jpg", 0.5), ("raw", 0.5), ("proportion", 0.25)])
@pytest.mark.slow
def test_plain_ffcv_reads_them(
    mode: Mode,
    share: float,
    photographs: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoding = Encoding(mode=mode, longer_side=500, jpeg_share=share)
    manifest = prepared(photographs, tmp_path, monkeypatch, encoding)
    index = read_index(manifest.beton("train"))
    expected_share = {"jpg": 1.0, "raw": 0.0}.get(mode, share)
    assert (index.modes == JPEG_MODE).mean() == pytest.approx(expected_share, abs=0.06)
    subprocess.run(
        [sys.executable, "-c", PLAIN_FFCV, manifest.beton("train"), tmp_path / "read.npz"],
        check=True,
        timeout=100,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    read = np.load(tmp_path / "read.npz")
    assert np.array_equal(read["labels"][:, 0], index.labels)
    differences = []
    for image, content in zip(read["images"], in_order(photographs, "train"), strict=True):
        original = opened(content)
        scale = min(1.0, 500 / max(original.size))
        side = round(min(original.size) * scale)
        square = functional.center_crop(
            original.resize([round(length * scale) for length in original.size]),  # type: ignore[arg-type]
            [round(0.875 * side)] * 2,
        )
        resized = np.asarray(square.resize((64, 64), Image.Resampling.BOX))
        differences.append(np.abs(image.astype(int) - resized).mean())
    # ffcv cuts and averages whole pixels: alike, and of the right image, but not equal.
    assert max(differences) < 12
    assert np.mean(differences) < 5


def test_the_mean_is_that_of_the_usual_view(
    photographs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepared(photographs, tmp_path, monkeypatch, Encoding(mode="jpg"))
    views = np.stack(
        [
            np.asarray(functional.center_crop(functional.resize(opened(content), 256), [224, 224]))
            for content in in_order(photographs, "train")
        ]
    ).astype(np.float64)
    # Only the centre is resampled, which rounds otherwise than resampling all of it.
    assert np.abs(manifest.pixel_mean() - views.mean(0)).mean() < 0.05
    np.testing.assert_allclose(manifest.channel_mean, views.mean((0, 1, 2)), atol=0.02)
    np.testing.assert_allclose(manifest.channel_std, views.std((0, 1, 2)), atol=0.02)


def picture(mode: str = "RGB", side: tuple[int, int] = (40, 30)) -> Image.Image:
    """A picture of soft blots, which JPEG keeps well."""
    blots = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(blots).resize(side, Image.Resampling.BICUBIC).convert(mode)


def odd_images() -> dict[str, bytes]:
    """One of each kind that a collection may hold, all of which can be kept."""
    rotated = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(rotated, "JPEG", exif=exif)
    sixteen = Image.fromarray(np.linspace(0, 65535, 1200).astype(np.uint16).reshape(30, 40))
    return {
        "00-grey.jpg": encoded(picture("L"), "JPEG"),
        "01-four-inks.jpg": encoded(picture("CMYK"), "JPEG"),
        "02-palette.png": encoded(picture().quantize(dither=Image.Dither.NONE)),
        "03-sixteen-bits.png": encoded(sixteen),
        "04-rotated.jpg": rotated.getvalue(),
        "05-png-by-another-name.JPEG": encoded(picture()),
        "06-tiny.png": encoded(Image.new("RGB", (8, 9), (10, 200, 30))),
    }


def test_odd_images_are_kept_as_pil_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = odd_images()
    images = {
        f"{split}/{label}/{name}": odd[name]
        for split in ("train", "val")
        for label in "ab"
        for name in odd
    }
    manifest = prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg", quality=95))
    assert manifest.num_rotated == 4
    assert manifest.storage is not None
    assert manifest.storage.num_kept == 4 * 2  # the grey and the rotated one
    for place, (name, content) in enumerate(sorted(odd.items())):
        kept = stored(manifest, "train", place)
        assert (kept == content) == (name in ("00-grey.jpg", "04-rotated.jpg"))
        image = Image.open(io.BytesIO(kept))
        assert image.format == "JPEG"
        assert image.mode in ("RGB", "L")
        expected = opened(content)
        if name == "03-sixteen-bits.png":
            levels = np.asarray(Image.open(io.BytesIO(content))).astype(int) >> 8
            expected = Image.fromarray(levels.astype(np.uint8)).convert("RGB")
        assert image.size == expected.size
        difference = np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(expected))
        assert difference.mean() < 6


def bad_images() -> dict[str, bytes]:
    """What no beton can keep."""
    whole = encoded(picture(side=(200, 200)), "JPEG")
    return {
        "a/truncated.jpg": whole[: len(whole) // 2],
        "a/text.jpg": b"this is no image",
        "a/empty.png": b"",
        "b/one-pixel.png": encoded(picture(side=(1, 1))),
    }


def test_bad_images_are_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {
        f"{split}/{label}/{n}.jpg": encoded(picture(), "JPEG")
        for split in ("train", "val")
        for label in "ab"
        for n in range(3)
    }
    images = good | {f"train/{name}": content for name, content in bad_images().items()}
    with pytest.raises(IntegrityError, match=r"images\.tar:train/a/"):
        prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"))
    manifest = prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"), on_bad="skip")
    assert manifest.num_bad == len(manifest.bad) == 4
    names = sorted(bad.name.partition(":train/")[2] for bad in manifest.bad)
    assert names == sorted(bad_images())
    assert all(bad.name in bad.why for bad in manifest.bad)
    assert manifest.train.class_counts == (3, 3)
    index = read_index(manifest.beton("train"))
    assert [stored(manifest, "train", place) for place in range(len(index))] == in_order(
        good, "train"
    )


def test_a_class_of_bad_images_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {
        f"{split}/a/{n}.jpg": encoded(picture(), "JPEG")
        for split in ("train", "val")
        for n in range(3)
    }
    images["train/b/0.jpg"] = images["val/b/0.jpg"] = b"this is no image"
    with pytest.raises(UsageError, match="no image of b is left for the train split") as caught:
        prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"), on_bad="skip")
    assert caught.value.mend
    assert not list((tmp_path / "home/data").glob("images*"))


def test_an_image_that_fills_more_than_a_page_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = encoded(Image.new("RGB", (2000, 1500)))
    assert PAGE_BYTES < 2000 * 1500 * 3
    images = {f"{split}/{label}/0.png": huge for split in ("train", "val") for label in "ab"}
    with pytest.raises(IntegrityError, match="a page of a beton holds") as caught:
        prepared(images, tmp_path, monkeypatch, Encoding(mode="raw"))
    assert "--shorter-side" in caught.value.mend
    manifest = prepared(images, tmp_path, monkeypatch, Encoding(mode="raw", shorter_side=1000))
    assert sizes(read_index(manifest.beton("train"))) == [(1333, 1000)] * 2


def test_a_limit_takes_of_every_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(picture(), "JPEG")
    images = {
        f"{split}/{label}/{n}.jpg": content
        for split in ("train", "val")
        for label in "abcd"
        for n in range(10)
    }
    manifest = prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"), limit=8)
    assert manifest.train.class_counts == manifest.test.class_counts == (2,) * 4
    assert manifest.limit == 8
    plans: list[int] = []
    few = {"limit": 3, "on_plan": lambda plan: plans.append(plan.num_unseen_classes)}
    shutil.rmtree(tmp_path / "home")
    assert prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"), **few).limit == 3
    assert plans == [1]
    with pytest.raises(UsageError, match="--limit"):
        prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"), limit=4)
    with pytest.raises(UsageError, match="0 images"):
        prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"), limit=0)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (Encoding(mode="raw"), "form of the images"),
        (Encoding(mode="jpg", quality=80), "form of the images"),
        (Encoding(mode="jpg", longer_side=20), "form of the images"),
        (None, "form of the images"),
    ],
)
def test_another_form_is_another_data_set(
    changed: Encoding | None, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {
        f"{split}/{label}/0.jpg": encoded(picture(), "JPEG")
        for split in ("train", "val")
        for label in "ab"
    }
    first = prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"))
    again = prepared(images, tmp_path, monkeypatch, Encoding(mode="jpg"))
    assert again == first
    with pytest.raises(UsageError, match=what):
        prepared(images, tmp_path, monkeypatch, changed)


def test_a_manifest_of_before_these_forms_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    from resnet_cluster.data import load_manifest

    images = {
        f"{split}/{label}/0.png": encoded(picture(side=(8, 8)))
        for split in ("train", "val")
        for label in "ab"
    }
    manifest = prepared(images, tmp_path, monkeypatch, None)
    path = manifest.folder / "manifest.json"
    content = json.loads(path.read_text())
    for key in ("storage", "limit", "num_rotated", "num_bad", "bad", "checksum"):
        del content[key]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["checksum"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(content))
    old = load_manifest("images")
    assert (old.sha256, old.image_size, old.storage) == (manifest.sha256, 8, None)
