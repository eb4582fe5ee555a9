"""`pixels: v1` beside PIL and torchvision, on real photographs and on damaged files."""

from __future__ import annotations

import ctypes
import io
import tarfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms

from resnet_cluster.data import pixels
from resnet_cluster.data.beton import JPEG_MODE, read_index
from resnet_cluster.data.pixels import BadCrop, Cutter, best_engine
from resnet_cluster.data.random_views import RandomResizedCrop, ShorterSideJitter
from resnet_cluster.data.views import (
    CentreCrop,
    Crops,
    TenCrop,
    View,
    WholeImage,
)
from resnet_cluster.data.writer import PAGE_BYTES, BetonWriter, StoredImage

BOTH: list[pixels.Engine] = ["c", "pil"]
needs_extension = pytest.mark.skipif(
    best_engine() != "c", reason="the extension in C was not built: libjpeg-turbo has no headers"
)


def test_the_extension_is_built_where_this_projects_checks_run() -> None:
    header = Path("/usr/include/jpeglib.h")
    if not header.exists():
        pytest.skip(f"libjpeg-turbo's headers are not at {header}")
    assert best_engine() == "c"


@pytest.fixture(scope="module")
def jpegs(shared_data: Path) -> list[bytes]:
    """ImageNet's 500 photographs that are RGB JPEGs, as they come."""
    found = []
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        for member in tar:
            if member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                found.append(file.read())
    assert len(found) == 500
    return found


def _stored(content: bytes) -> StoredImage:
    with Image.open(io.BytesIO(content)) as image:
        return StoredImage(JPEG_MODE, *image.size, content)


def _beton(path: Path, images: Sequence[StoredImage]) -> Path:
    with BetonWriter(path, max_images=len(images), page_bytes=PAGE_BYTES) as writer:
        for place, image in enumerate(images):
            writer.add(image, place % 10)
    return path


@pytest.fixture(scope="module")
def jpeg_beton(jpegs: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs, as they come."""
    return _beton(tmp_path_factory.mktemp("jpg") / "photos.beton", [_stored(j) for j in jpegs])


@pytest.fixture(scope="module")
def raw_beton(jpegs: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first hundred, raw."""
    images = [
        StoredImage.raw(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
        for content in jpegs[:100]
        if len(content) < 300_000
    ]
    return _beton(tmp_path_factory.mktemp("raw") / "photos.beton", images)


def _cut(
    beton: Path, view: View, engine: pixels.Engine = "c", ids: Any = None, pool: Any = None
) -> tuple[NDArray[np.uint8], tuple[BadCrop, ...]]:
    index = read_index(beton)
    ids = np.arange(len(index)) if ids is None else np.asarray(ids)
    crops = view.crops(index.widths[ids], index.heights[ids], ids)
    out = np.full((len(crops), crops.height, crops.width, 3), 77, np.uint8)
    return out, Cutter(index, engine=engine).cut(np.repeat(ids, view.num_crops), crops, out, pool)


RANDOM = RandomResizedCrop(side=224, seed=11, epoch=3)
JITTER = ShorterSideJitter(side=224, seed=11, epoch=3)
CENTRE = CentreCrop(side=224, resize=256)


@needs_extension
@pytest.mark.parametrize("view", [RANDOM, JITTER, CENTRE], ids=lambda view: type(view).__name__)
def test_the_extension_gives_pils_bytes_on_500_photographs(jpeg_beton: Path, view: View) -> None:
    ours, bad = _cut(jpeg_beton, view)
    theirs, bad_too = _cut(jpeg_beton, view, "pil")
    assert (bad, bad_too) == ((), ())
    assert np.array_equal(ours, theirs)


@needs_extension
@pytest.mark.parametrize("view", [RANDOM, JITTER, TenCrop(side=224, resize=256)])
def test_raw_photographs_give_pils_bytes(raw_beton: Path, view: View) -> None:
    ids = range(30)
    ours, bad = _cut(raw_beton, view, ids=ids)
    theirs, bad_too = _cut(raw_beton, view, "pil", ids=ids)
    assert (bad, bad_too) == ((), ())
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("engine", BOTH)
def test_a_centre_crop_is_what_torchvisions_transforms_make(
    jpegs: list[bytes], jpeg_beton: Path, engine: pixels.Engine
) -> None:
    if engine == "c" and best_engine() != "c":
        pytest.skip("the extension in C was not built")
    ids = np.arange(0, 500, 1 if engine == "c" else 10)
    ours, _ = _cut(jpeg_beton, CENTRE, engine, ids=ids)
    transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    differences = np.array(
        [
            np.abs(
                np.asarray(transform(Image.open(io.BytesIO(jpegs[place])).convert("RGB")), int)
                - ours[number]
            ).mean()
            for number, place in enumerate(ids)
        ]
    )
    # PIL may take columns first, and rounds between the two: hence not always zero.
    assert differences.max() < 0.1
    assert np.median(differences) < 0.05


@needs_extension
def test_ten_crops_are_torchvisions_of_one_decoding(jpegs: list[bytes], jpeg_beton: Path) -> None:
    ours, _ = _cut(jpeg_beton, TenCrop(side=224, resize=256), ids=range(20))
    transform = transforms.Compose([transforms.Resize(256), transforms.TenCrop(224)])
    for place, ten in enumerate(ours.reshape(20, 10, 224, 224, 3)):
        theirs = transform(Image.open(io.BytesIO(jpegs[place])).convert("RGB"))
        for one, other in zip(ten, theirs, strict=True):
            assert np.abs(np.asarray(other, int) - one).mean() < 0.1


@needs_extension
def test_threads_and_the_company_of_others_change_nothing(jpeg_beton: Path) -> None:
    ids = np.arange(64)
    alone, _ = _cut(jpeg_beton, RANDOM, ids=ids)
    with ThreadPoolExecutor(3) as pool:
        together, _ = _cut(jpeg_beton, RANDOM, ids=ids, pool=pool)
    backwards, _ = _cut(jpeg_beton, RANDOM, ids=ids[::-1])
    assert np.array_equal(alone, together)
    assert np.array_equal(alone, backwards[::-1])


def _picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth shapes and some noise, so that every frequency is there."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (5, 4, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), int)
    noisy = smooth + random.integers(-20, 21, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@needs_extension
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0", "4:1:1"]),
    progressive=st.booleans(),
    grey=st.booleans(),
    restarts=st.sampled_from([0, 1, 7]),
    quality=st.integers(20, 100),
    side=st.integers(1, 96),
    epoch=st.integers(0, 1000),
)
def test_any_jpeg_and_any_crop_gives_pils_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    subsampling: str,
    progressive: bool,
    grey: bool,
    restarts: int,
    quality: int,
    side: int,
    epoch: int,
) -> None:
    picture = _picture(*size, seed=epoch)
    content = _jpeg(
        picture.convert("L") if grey else picture,
        quality=quality,
        progressive=progressive,
        subsampling=-1 if grey else subsampling,
        restart_marker_blocks=restarts,
    )
    path = tmp_path_factory.mktemp("any") / "one.beton"
    beton = _beton(path, [_stored(content), StoredImage.raw(np.asarray(picture))])
    for view in (
        RandomResizedCrop(side=side, scale=(0.01, 1.0), seed=1, epoch=epoch),
        ShorterSideJitter(side=side, shortest=side, longest=side + 40, seed=1, epoch=epoch),
        WholeImage(resize=side, mirrored=bool(epoch % 2)),
    ):
        for place in (0, 1):
            ours, bad = _cut(beton, view, ids=[place])
            theirs, bad_too = _cut(beton, view, "pil", ids=[place])
            assert (bad, bad_too) == ((), ())
            assert np.array_equal(ours, theirs), view


def _damaged(tmp_path: Path, content: bytes, size: tuple[int, int] = (120, 90)) -> Path:
    good = _stored(_jpeg(_picture(120, 90, seed=0)))
    return _beton(tmp_path / "bad.beton", [good, StoredImage(JPEG_MODE, *size, content), good])


def _cmyk() -> bytes:
    return _jpeg(_picture(120, 90, seed=1).convert("CMYK"))


@pytest.mark.parametrize("engine", BOTH)
@pytest.mark.parametrize(
    ("content", "size", "why"),
    [
        (b"not a JPEG at all", (120, 90), "JPEG|identify"),
        (_jpeg(_picture(120, 90, seed=1))[:300], (120, 90), "premature|truncated|EOI|JPEG"),
        (_jpeg(_picture(120, 90, seed=1)), (121, 90), "120x90 pixels, and its tables say 121x90"),
    ],
    ids=["garbage", "headless", "other size"],
)
def test_a_bad_image_is_named_and_black_and_its_neighbours_are_whole(
    tmp_path: Path, engine: pixels.Engine, content: bytes, size: tuple[int, int], why: str
) -> None:
    if engine == "c" and best_engine() != "c":
        pytest.skip("the extension in C was not built")
    view = RandomResizedCrop(side=32, seed=0, epoch=0)
    out, bad = _cut(_damaged(tmp_path, content, size), view, engine)
    assert [crop.place for crop in bad] == [1]
    assert any(word.lower() in bad[0].why.lower() for word in why.split("|")), bad[0].why
    assert out[0].any()
    assert out[2].any()
    assert not out[1].any()


@needs_extension
def test_no_damage_to_a_jpeg_goes_unseen_where_its_checksum_would_show_it(tmp_path: Path) -> None:
    """Cut anywhere, a JPEG whose end a crop needs is complained of."""
    content = _jpeg(_picture(120, 90, seed=1))
    view = WholeImage(resize=64)
    for kept in range(2, len(content) - 2, 97):
        path = _damaged(tmp_path, content[:kept])
        _, bad = _cut(path, view)
        assert [crop.place for crop in bad] == [1], kept
        path.unlink()


@pytest.mark.parametrize("engine", BOTH)
def test_what_a_decoder_only_warns_of_is_judged_by_the_checksum(
    tmp_path: Path, engine: pixels.Engine
) -> None:
    if engine == "c" and best_engine() != "c":
        pytest.skip("the extension in C was not built")
    content = _jpeg(_picture(120, 90, seed=1), restart_marker_blocks=7)
    assert b"\xff\xd3" in content
    content = content.replace(b"\xff\xd3", b"\xff\xd5", 1)  # restarts in the wrong order
    beton = _damaged(tmp_path, content)
    index, view = read_index(beton), WholeImage(resize=64)
    crops = view.crops(index.widths, index.heights, np.arange(3))
    good = _jpeg(_picture(120, 90, seed=0))
    for odd, num_bad in ((content, 0), (b"what was written", 1)):
        checksums = np.array([zlib.crc32(it) for it in (good, odd, good)], np.uint32)
        out = np.zeros((3, crops.height, crops.width, 3), np.uint8)
        bad = Cutter(index, checksums, engine).cut(np.arange(3), crops, out)
        assert [crop.place for crop in bad] == [1] * num_bad
        assert out[1].any() == (num_bad == 0)


@needs_extension
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1))
def test_no_change_to_a_jpeg_crashes_or_reaches_beyond_its_crop(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(_jpeg(_picture(120, 90, seed=1), progressive=bool(len(changes) % 2)))
    for place, value in changes:
        content[place % len(content)] = value
    path = _damaged(tmp_path_factory.mktemp("fuzz"), bytes(content))
    for view in (
        RandomResizedCrop(side=32, seed=0, epoch=len(changes)),
        TenCrop(side=32, resize=40),
    ):
        whole, bad = _cut(path, view)
        good, _ = _cut(path, view, ids=[0, 2])
        each = view.num_crops
        assert np.array_equal(
            np.delete(whole.reshape(3, each, -1), 1, 0), good.reshape(2, each, -1)
        )
        assert {crop.place // each for crop in bad} <= {1}


def test_a_crop_outside_its_image_is_refused_not_read(tmp_path: Path) -> None:
    if best_engine() != "c":
        pytest.skip("the extension in C was not built")
    beton = _beton(tmp_path / "one.beton", [_stored(_jpeg(_picture(40, 30, seed=0)))])
    one = np.ones((1, 1), np.int64)
    good = {
        "regions": np.array([[0, 0, 40, 30]]),
        "resized": np.array([[40, 30]]),
        "offsets": np.array([[0, 0]]),
    }
    for name, wrong in {
        "regions": [[1, 0, 40, 30], [0, -1, 40, 30], [0, 0, 0, 30]],
        "resized": [[15, 30], [0, 0]],
        "offsets": [[25, 0], [-1, 0]],
    }.items():
        for value in wrong:
            crops = Crops(
                **{**good, name: np.array([value])},
                mirrored=one[0] == 0,
                height=16,
                width=16,
            )
            out = np.zeros((1, 16, 16, 3), np.uint8)
            bad = Cutter(read_index(beton), engine="c").cut(np.array([0]), crops, out)
            assert [crop.why for crop in bad] == ["the crop does not lie within the image"]


def test_the_fallback_is_chosen_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CLUSTER_PIXELS", "pil")
    pixels._library.cache_clear()
    try:
        assert best_engine() == "pil"
    finally:
        monkeypatch.undo()
        pixels._library.cache_clear()


def test_the_extensions_struct_is_numpys() -> None:
    if best_engine() != "c":
        pytest.skip("the extension in C was not built")
    library = pixels._library()
    assert isinstance(library, ctypes.CDLL)
    assert library.pixels_crop_bytes() == pixels.CROP.itemsize
