from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from image_files import Archive, encoded, photo_files, write_tar
from PIL import Image

from resnet_cluster.data import (
    Manifest,
    Prepared,
    check_dataset,
    load_manifest,
    prepare,
)
from resnet_cluster.data.beton import read_squares
from resnet_cluster.data.conversion import convert
from resnet_cluster.data.request import ConversionRequest
from resnet_cluster.errors import (
    IntegrityError,
    UsageError,
)


def _convert(source: Path, size: int | None = None, seed: int = 0) -> Manifest:
    """Convert in this process, which is what `prepare` has another one do."""
    folder = source.parent / f"converted-{seed}-{size}"
    folder.mkdir()
    request = ConversionRequest(
        source=str(source), folder=str(folder), name="x", size=size, seed=seed
    )
    convert(request, lambda event: None)
    return load_manifest(str(folder))


def test_real_images_keep_the_pixels_that_pil_decodes(
    cifar: Manifest, cifar_archive: Archive
) -> None:
    assert (cifar.encoding, cifar.image_size, cifar.test_split) == ("jpeg", 32, "source")
    assert cifar.classes[0::9] == ("airplane", "truck")
    assert cifar.train.class_counts == cifar.test.class_counts == (20,) * 10
    for split in ("train", "test"):
        squares = read_squares(cifar.beton(split))  # type: ignore[arg-type]
        labels = squares.index.labels
        pixels = squares.read(np.arange(len(labels)))
        for place, name in enumerate(cifar_archive.names(split)):
            image = Image.open(io.BytesIO(cifar_archive.images[name])).convert("RGB")
            assert np.array_equal(pixels[place], np.asarray(image))
            assert cifar.classes[labels[place]] == name.split("/")[1]


def test_the_digits_split_is_a_fifth_of_each_class(digits: Manifest) -> None:
    from sklearn.datasets import load_digits

    target = load_digits().target
    assert digits.test_split == "holdout"
    for label, (train, test) in enumerate(
        zip(digits.train.class_counts, digits.test.class_counts, strict=True)
    ):
        assert train + test == (target == label).sum()
        assert abs(test - (train + test) / 5) <= 1


def test_the_same_images_give_the_same_data_set(tmp_path: Path, photos: Path) -> None:
    other = tmp_path / "other"
    for name, content in photo_files().items():
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes(content)
    from_tar, from_folder = _convert(photos), _convert(other, seed=0, size=16)
    assert from_tar.sha256 == from_folder.sha256
    assert from_tar.source.sha256 != from_folder.source.sha256
    assert _convert(photos, seed=1).sha256 != from_tar.sha256


JPEG = encoded(Image.new("RGB", (16, 16), "red"), "JPEG")


@pytest.mark.parametrize("content", [b"", b"text", JPEG[:-20], JPEG[:100], JPEG[200:]])
@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_a_bad_image_is_named_and_nothing_is_left(
    home: Path, tmp_path: Path, kind: str, content: bytes
) -> None:
    images = {**photo_files(), "b/4.jpg": content}
    source = tmp_path / "bad.tar"
    if kind == "tar":
        write_tar(source, images)
        shown = r"bad\.tar:b/4\.jpg"
    else:
        source = tmp_path / "bad"
        shown = r"bad/b/4\.jpg"
        for name, image in images.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(image)
    with pytest.raises(IntegrityError, match=f"{shown}: is not an image that can be decoded"):
        _convert(source)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({**photo_files(), "b/9.png": encoded(Image.new("L", (20, 20)))}, r"b/9\.png: is 20x20"),
        (photo_files(side=(12, 16)), r"a/\d\.png: is 16x12 pixels"),
    ],
)
def test_unequal_images_ask_for_a_size(
    tmp_path: Path, images: dict[str, bytes], message: str
) -> None:
    source = tmp_path / "unequal.tar"
    write_tar(source, images)
    with pytest.raises(UsageError, match=message) as caught:
        _convert(source)
    assert "--size 32" in caught.value.mend
    manifest = _convert(source, size=32)
    assert (manifest.image_size, manifest.requested_size) == (32, 32)


def test_formats_are_named_together(tmp_path: Path) -> None:
    source = tmp_path / "mixed.tar"
    write_tar(source, {**photo_files(), "a/x.jpg": JPEG, "a/y.bmp": JPEG})
    assert _convert(source).encoding == "jpeg+png"


def test_too_few_images_for_a_test_split_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "few.tar"
    write_tar(source, photo_files(num=1))
    with pytest.raises(UsageError, match="too few images"):
        _convert(source)


def test_photographs_of_any_size_are_converted(shared_data: Path, tmp_path: Path) -> None:
    import tarfile

    source = tmp_path / "photographs.tar"
    with tarfile.open(shared_data / "imagenet-sample.tar") as sample:
        members = [sample.next() for _ in range(24)]
        contents = [sample.extractfile(m).read() for m in members if m and m.isreg()]  # type: ignore[union-attr]
    write_tar(source, {f"{place % 2}/{place}.JPEG": image for place, image in enumerate(contents)})
    manifest = _convert(source, size=64)
    assert (manifest.encoding, manifest.image_size) == ("jpeg", 64)
    assert manifest.train.num_images + manifest.test.num_images == len(contents)


@pytest.mark.slow
def test_all_of_cifar_10(home: Path, shared_data: Path) -> None:
    prepared: Prepared = prepare(str(shared_data / "cifar10-images.tar.xz"), name="cifar10")
    manifest = prepared.manifest
    check_dataset(manifest.folder)
    assert manifest.train.class_counts == (5000,) * 10
    assert manifest.test.class_counts == (1000,) * 10
    # The mean and deviation of CIFAR-10's original pixels, as widely published, over 255.
    published = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    np.testing.assert_allclose(np.divide(manifest.channel_mean, 255), published[0], atol=2e-3)
    np.testing.assert_allclose(np.divide(manifest.channel_std, 255), published[1], atol=4e-3)


@pytest.mark.slow
def test_all_of_debians_fashion_mnist(home: Path) -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    manifest = prepare(str(folder), name="fashion", image_size=32).manifest
    assert (manifest.encoding, manifest.source.kind) == ("idx", "fashion_mnist")
    assert manifest.train.class_counts == (6000,) * 10
    assert not prepare("fashion_mnist", name="fashion", image_size=32).is_new
