"""ImageNet as its makers and as Kaggle distribute it; labels are compared with torchvision's."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from packed_files import assert_names, blots, contents, opened, photographs, tar_of
from PIL import Image
from torchvision.datasets import imagenet as theirs
from torchvision.transforms import functional

from resnet_cluster.data import prepare
from resnet_cluster.data.beton import read_squares
from resnet_cluster.data.imagenet import TRAIN_TAR, VAL_TAR
from resnet_cluster.data.imagenet_labels import DEVKIT
from resnet_cluster.errors import IntegrityError, UsageError
from resnet_cluster.planning import DataFacts, plan
from resnet_cluster.spec import load_job

JOBS = Path(__file__).resolve().parents[2] / "jobs"

# The numbers of the development kit are in another order than the sorted ids.
SYNSETS = {
    1: ("n02119789", "kit fox, Vulpes macrotis"),
    2: ("n01440764", "tench, Tinca tinca"),
    3: ("n01985128", "crayfish, crawfish"),
}
INNER = (4, "n00001740", "entity")
TRUTH = [3, 1, 2, 2, 3, 1]
NUM_EACH = 3


def meta_mat() -> bytes:
    """The struct array of the kit, a class without images of its own among the others."""
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children"]
    fields += ["wordnet_height", "num_train_images"]
    rows = [
        (number, wnid, words, "a gloss", 0, np.array([]), 0, NUM_EACH)
        for number, (wnid, words) in SYNSETS.items()
    ]
    rows.append((*INNER, "a gloss", 3, np.array([1, 2, 3]), 1, 0))
    file = io.BytesIO()
    scipy.io.savemat(file, {"synsets": np.array(rows, [(name, "O") for name in fields])})
    return file.getvalue()


def write_devkit(folder: Path, *, meta: bytes | None = None, truth: str | None = None) -> None:
    """The development kit's archive."""
    root = "ILSVRC2012_devkit_t12"
    members = {
        f"{root}/readme.txt": b"about it",
        f"{root}/data/meta.mat": meta_mat() if meta is None else meta,
        f"{root}/data/ILSVRC2012_validation_ground_truth.txt": (
            "".join(f"{number}\n" for number in TRUTH) if truth is None else truth
        ).encode(),
    }
    with tarfile.open(folder / DEVKIT, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def train_images(images: list[bytes]) -> dict[str, dict[str, bytes]]:
    """Training images by class and name."""
    wnids = [wnid for wnid, _ in SYNSETS.values()]
    return {
        wnid: {
            f"{wnid}_{place}.JPEG": images[NUM_EACH * number + place] for place in range(NUM_EACH)
        }
        for number, wnid in enumerate(wnids)
    }


def val_images(images: list[bytes]) -> dict[str, bytes]:
    """Validation images by name, after those to train on."""
    return {
        f"ILSVRC2012_val_{place:08d}.JPEG": images[NUM_EACH * len(SYNSETS) + place - 1]
        for place in range(1, len(TRUTH) + 1)
    }


def write_archives(folder: Path, images: list[bytes]) -> Path:
    """The three archives."""
    folder.mkdir()
    train = {f"{wnid}.tar": tar_of(files) for wnid, files in train_images(images).items()}
    (folder / TRAIN_TAR).write_bytes(tar_of(train))
    # A tar need not be in the order of its names.
    (folder / VAL_TAR).write_bytes(tar_of(dict(reversed(val_images(images).items()))))
    write_devkit(folder)
    return folder


def write_kaggle(folder: Path, images: list[bytes]) -> Path:
    """Kaggle's folders and tables."""
    root = folder / "ILSVRC/Data/CLS-LOC"
    for wnid, files in train_images(images).items():
        (root / "train" / wnid).mkdir(parents=True)
        for name, content in files.items():
            (root / "train" / wnid / name).write_bytes(content)
    for split in ("val", "test"):
        (root / split).mkdir()
    for name, content in val_images(images).items():
        (root / "val" / name).write_bytes(content)
    (root / "test" / "ILSVRC2012_test_00000001.JPEG").write_bytes(images[0])
    rows = ["ImageId,PredictionString"]
    for place, number in reversed(list(enumerate(TRUTH, start=1))):
        wnid = SYNSETS[number][0]
        rows.append(f"ILSVRC2012_val_{place:08d},{wnid} 85 1 499 272 {wnid} 0 0 9 9")
    (folder / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")
    mapping = "".join(f"{wnid} {words}\n" for wnid, words in SYNSETS.values())
    (folder / "LOC_synset_mapping.txt").write_text(mapping)
    return folder


@pytest.fixture
def images() -> list[bytes]:
    """A picture for each place."""
    return [blots(seed) for seed in range(NUM_EACH * len(SYNSETS) + len(TRUTH))]


@pytest.fixture
def archives(tmp_path: Path, images: list[bytes]) -> Path:
    """The three archives."""
    return write_archives(tmp_path / "imagenet", images)


@pytest.fixture
def kaggle(tmp_path: Path, images: list[bytes]) -> Path:
    """Kaggle's folders and tables."""
    return write_kaggle(tmp_path / "kaggle", images)


def expected(images: list[bytes]) -> dict[str, set[tuple[str, bytes]]]:
    """Class and content of each image, by split."""
    train = train_images(images)
    return {
        "train": {(wnid, content) for wnid in train for content in train[wnid].values()},
        "test": {
            (SYNSETS[number][0], content)
            for number, content in zip(TRUTH, val_images(images).values(), strict=True)
        },
    }


@pytest.mark.parametrize("layout", ["archives", "kaggle", "class folders and the kit"])
def test_every_layout_is_the_same_data_set(
    layout: str, images: list[bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "there"
    if layout == "archives":
        write_archives(folder, images)
    else:
        write_kaggle(folder, images)
    if layout == "class folders and the kit":
        folder = folder / "ILSVRC/Data/CLS-LOC"
        write_devkit(folder)
    source = opened(folder, tmp_path)
    found = contents(source)
    assert {split: set(pairs) for split, pairs in found.items()} == expected(images)
    assert source.classes == tuple(sorted(wnid for wnid, _ in SYNSETS.values()))
    assert source.class_names == tuple(words for _, words in sorted(SYNSETS.values()))
    for examples in source.splits.values():
        labels = [example.label for example in examples]
        assert labels == sorted(labels)
    assert ("development kit" in source.recognised) == (layout != "kaggle")
    source.close()


def test_labels_are_those_that_torchvision_reads(
    archives: Path, images: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.md5((archives / DEVKIT).read_bytes()).hexdigest()
    monkeypatch.setitem(theirs.ARCHIVE_META, "devkit", (DEVKIT, digest))
    theirs.parse_devkit_archive(str(archives))
    wnid_to_classes, val_wnids = theirs.load_meta_file(str(archives))
    source = opened(archives, tmp_path)
    by_content = {content: wnid for wnid, content in contents(source)["test"]}
    assert [by_content[content] for content in val_images(images).values()] == val_wnids
    assert source.class_names is not None
    for wnid, names in zip(source.classes, source.class_names, strict=True):
        assert tuple(names.split(", ")) == wnid_to_classes[wnid]


def test_real_photographs_end_to_end(shared_data: Path, tmp_path: Path, home: Path) -> None:
    images = photographs(shared_data, NUM_EACH * len(SYNSETS) + len(TRUTH))
    archives = write_archives(tmp_path / "imagenet", images)
    plans: list[str] = []
    manifest = prepare(
        str(archives),
        name="imagenet",
        image_size=32,
        on_plan=lambda plan: plans.append(plan.recognised),
    ).manifest
    assert "ILSVRC 2012 archives" in plans[0]
    assert manifest.source.kind == "ilsvrc"
    assert manifest.class_names is not None
    for beton, pairs in (("train", expected(images)["train"]), ("test", expected(images)["test"])):
        squares = read_squares(manifest.folder / f"{beton}.beton")
        pixels = squares.read(np.arange(len(squares.index)))
        found = {
            (manifest.classes[label], image.tobytes())
            for label, image in zip(squares.index.labels.tolist(), pixels, strict=True)
        }
        assert found == {(wnid, _square(content)) for wnid, content in pairs}
    assert not prepare(str(archives), name="imagenet", image_size=32).is_new
    (archives / VAL_TAR).write_bytes(b"")
    with pytest.raises(UsageError, match="source"):
        prepare(str(archives), name="imagenet", image_size=32)


def test_two_commands_from_the_archives_to_a_run(
    shared_data: Path, tmp_path: Path, home: Path
) -> None:
    """Where no form is asked for, ImageNet's photographs keep their bytes."""
    images = photographs(shared_data, NUM_EACH * len(SYNSETS) + len(TRUTH))
    archives = write_archives(tmp_path / "imagenet", images)
    prepared = prepare(str(archives), name="imagenet")
    manifest = prepared.manifest
    assert (manifest.mode, manifest.image_size) == ("jpg", None)
    assert manifest.storage is not None
    assert manifest.storage.num_kept == len(images)
    assert not prepare(str(archives), name="imagenet").is_new
    with pytest.raises(UsageError, match="form of the images"):
        prepare(str(archives), name="imagenet", image_size=32)
    for job in ("imagenet_r50", "imagenet_r50_paper"):
        small = ["train.global_batch_size=4", "train.bn_group=2", "data.holdout=0"]
        small += ["train.schedule={kind: constant}", "resources={workers: 2}"]
        loaded = load_job(JOBS / f"{job}.yaml", overrides=small)
        assert plan(loaded.spec, DataFacts.of(manifest), source=loaded.source).num_classes == 3


def _square(content: bytes) -> bytes:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    square = functional.center_crop(functional.resize(image, 32), [32, 32])
    return np.asarray(square).tobytes()


@pytest.mark.parametrize("name", [VAL_TAR, DEVKIT])
def test_a_missing_archive_is_named(name: str, archives: Path, tmp_path: Path) -> None:
    (archives / name).unlink()
    with pytest.raises(UsageError) as refused:
        opened(archives, tmp_path)
    assert_names(refused, archives / name)


@pytest.mark.parametrize(
    ("kit", "says"),
    [
        ({"truth": "3\n1\n2\n2\n3\n"}, "00000006"),
        ({"truth": "3\n1\n2\n2\n3\n1\n1\n"}, "6 of 7"),
        ({"truth": "3\n1\n2\n2\n3\n9\n"}, "the class 9"),
        ({"truth": "3\n1\n2\n2\n3\n4\n"}, "the class 4"),
        ({"truth": "x"}, "ground truth"),
        ({"meta": b"no such file"}, "meta.mat"),
    ],
)
def test_a_kit_that_does_not_fit_is_refused(
    kit: dict[str, object], says: str, archives: Path, tmp_path: Path
) -> None:
    write_devkit(archives, **kit)  # type: ignore[arg-type]
    with pytest.raises(IntegrityError) as refused:
        opened(archives, tmp_path)
    assert_names(refused, says)


@pytest.mark.parametrize("name", [TRAIN_TAR, VAL_TAR, DEVKIT])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
def test_a_truncated_archive_is_named(
    name: str, share: float, archives: Path, tmp_path: Path
) -> None:
    path = archives / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(IntegrityError) as refused:
        contents(opened(archives, tmp_path))
    assert_names(refused, name)


def test_a_class_without_images_is_named(
    archives: Path, images: list[bytes], tmp_path: Path
) -> None:
    train = {f"{wnid}.tar": tar_of(files) for wnid, files in train_images(images).items()}
    train["n01440764.tar"] = tar_of({})
    (archives / TRAIN_TAR).write_bytes(tar_of(train))
    with pytest.raises(UsageError) as refused:
        opened(archives, tmp_path)
    assert_names(refused, "n01440764")


def test_kaggles_tables_have_to_fit_its_images(kaggle: Path, tmp_path: Path) -> None:
    images = kaggle / "ILSVRC/Data/CLS-LOC/val"
    shutil.move(images.parent / "train", tmp_path / "train")
    with pytest.raises(UsageError) as empty:
        opened(kaggle, tmp_path)
    assert_names(empty, images.parent / "train")
    shutil.move(tmp_path / "train", images.parent / "train")
    extra = images / "ILSVRC2012_val_00000099.JPEG"
    extra.write_bytes(blots(0))
    with pytest.raises(IntegrityError) as refused:
        opened(kaggle, tmp_path)
    assert_names(refused, "LOC_val_solution.csv", extra.stem)
    extra.unlink()
    (images / "ILSVRC2012_val_00000002.JPEG").unlink()
    with pytest.raises(IntegrityError) as refused:
        opened(kaggle, tmp_path)
    assert_names(refused, "5 of 6", "ILSVRC2012_val_00000002")
    (kaggle / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nx,\n")
    with pytest.raises(IntegrityError) as refused:
        opened(kaggle, tmp_path)
    assert_names(refused, "LOC_val_solution.csv", "'x'")


def test_kaggles_test_images_have_no_labels_and_are_left_out(kaggle: Path, tmp_path: Path) -> None:
    source = opened(kaggle, tmp_path)
    assert source.num_ignored == 3  # the test image, and the two tables
    assert all("/test/" not in example.name for example in source.splits["test"])
