from __future__ import annotations

from pathlib import Path

import pytest
from image_files import photo_files, prepared_names, write_tar

from resnet_cluster.data import (
    PreparationPlan,
    Progress,
    check_dataset,
    load_manifest,
    prepare,
)
from resnet_cluster.errors import (
    IntegrityError,
    PreflightError,
    UsageError,
)


def test_what_will_be_made_and_how_far_it_is_are_told(home: Path, photos: Path) -> None:
    plans: list[PreparationPlan] = []
    told: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        if progress.stage == "converting":
            assert plans
            told.append(progress)

    prepared = prepare(str(photos), name="photos", on_plan=plans.append, on_progress=on_progress)
    assert prepared.is_new
    [plan] = plans
    sizes = [prepared.manifest.beton(s).stat().st_size for s in ("train", "test")]  # type: ignore[arg-type]
    assert (plan.num_train, plan.num_test, plan.num_classes, plan.form) == (16, 4, 2, "16x16")
    assert plan.duration_s is not None
    assert 0 < plan.duration_s < 60
    assert (plan.num_bytes, plan.test_split, plan.num_ignored) == (sum(sizes), "holdout", 0)
    assert (told[-1].done, told[-1].total, told[-1].remaining_s) == (20, 20, 0)
    assert prepared_names(home) == ["photos"]
    check_dataset(home / "data" / "photos")


def test_progress_knows_its_rate_and_what_remains() -> None:
    assert Progress("converting", 300, 900, 3.0, "").rate == 100
    assert Progress("converting", 300, 900, 3.0, "").remaining_s == 6
    assert Progress("downloading", 300, 0, 3.0, "").remaining_s is None
    assert Progress("converting", 0, 9, 0.0, "").remaining_s is None


def test_a_name_is_prepared_once(home: Path, photos: Path, tmp_path: Path) -> None:
    first = prepare(str(photos), name="photos")
    before = (first.manifest.beton("train").stat().st_mtime_ns, prepared_names(home))
    again = prepare(str(photos), name="photos")
    assert not again.is_new
    assert again.manifest == first.manifest
    assert (first.manifest.beton("train").stat().st_mtime_ns, prepared_names(home)) == before
    other = tmp_path / "other.tar"
    write_tar(other, photo_files(num=11))
    for source, settings, what in (
        (other, {}, "source"),
        (photos, {"image_size": 8}, "--size"),
        (photos, {"seed": 3}, "--seed"),
        (other, {"image_size": 8}, "source and --size"),
    ):
        with pytest.raises(UsageError, match=f"with another {what}$") as caught:
            prepare(str(source), name="photos", **settings)  # type: ignore[arg-type]
        assert "--as" in caught.value.mend


def test_a_data_set_may_lie_elsewhere_under_its_name(
    home: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "disk" / "photos-16"
    assert prepare(str(photos), name="photos", out=out).is_new
    assert load_manifest("photos").sha256 == load_manifest(str(out)).sha256
    assert sorted(path.name for path in out.parent.iterdir()) == ["photos-16"]
    assert not prepare(str(photos), name="photos", out=out).is_new
    assert not prepare(str(photos), name="other", out=out).is_new
    assert load_manifest("other").beton("train").samefile(out / "train.beton")


def test_a_folder_with_something_else_is_left_alone(
    home: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not a prepared data set"):
        prepare(str(photos), name="photos", out=out)
    assert (out / "thesis.tex").read_text() == "x"
    assert prepared_names(home) == []


@pytest.mark.parametrize("size", [0, -1, 7, 1025])
def test_a_size_that_cannot_be_is_refused(home: Path, photos: Path, size: int) -> None:
    with pytest.raises(UsageError, match=f"resized to {size} pixels"):
        prepare(str(photos), name="photos", image_size=size)


def test_an_error_of_the_conversion_crosses_its_process(home: Path, tmp_path: Path) -> None:
    source = tmp_path / "bad.tar"
    write_tar(source, {**photo_files(), "b/4.jpg": b"text"})
    with pytest.raises(IntegrityError, match=r"^bad\.tar:b/4\.jpg: is not an image") as caught:
        prepare(str(source), name="bad")
    assert caught.value.mend
    assert prepared_names(home) == []
    with pytest.raises(PreflightError):
        load_manifest("bad")


def test_a_download_that_fails_says_what_to_do_instead(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(PreflightError, match="cifar10 cannot be downloaded") as caught:
        prepare("cifar10", name="cifar10")
    assert "resnet-cluster data prepare FOLDER --as cifar10" in caught.value.mend
    assert prepared_names(home) == []


@pytest.mark.parametrize("name", ["Photos", "../photos", "a\nb"])
def test_a_bad_name_is_refused_before_anything_is_touched(
    home: Path, photos: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="cannot name a data set"):
        prepare(str(photos), name=name)
    assert not home.exists()


def test_a_source_that_is_not_there_is_said(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: does not exist"):
        prepare(str(tmp_path / "nowhere"), name="x")
