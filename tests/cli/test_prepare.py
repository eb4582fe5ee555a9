"""`data prepare` for images of many sizes, as a user meets it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from cli_calls import Call, assert_refused
from PIL import Image
from sandbox import Sandbox
from tiny_runs import tiny_job

from resnet_cluster.data import pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve JPEG files in two classes, and one that is none."""
    blots = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(blots).resize((40, 30)).save(content, "JPEG")
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for place in range(6):
            path = tmp_path / "photos" / label / f"{place}.jpg"
            path.write_bytes(content.getvalue())
    return tmp_path / "photos"


def test_what_it_takes_is_said_before_and_what_came_out_after(folder: Path, call: Call) -> None:
    prepared = call("data", "prepare", folder, "--as", "photos", "--mode", "jpg", "-o", "json")
    assert prepared.code == 0, prepared.err
    assert "10 training and 2 test images of 2 classes, JPEG, at their full size:" in prepared.err
    assert "about 0:00:0" in prepared.err
    facts = prepared.json()
    assert (facts["mode"], facts["image_size"], facts["num_bad_images"]) == ("jpg", None, 0)
    assert facts["sizes"].startswith("40 to 40 wide, 30 to 30 high; 12 JPEG, 12 of them")
    assert "jpg" in call("data", "list").out
    assert "image_size" not in call("data", "info", "photos").out


def test_what_is_bad_ends_it_or_is_named(folder: Path, call: Call, home: Path) -> None:
    bad = folder / "a" / "bad.jpg"
    bad.write_bytes(b"no image")
    argv = ["data", "prepare", folder, "--as", "photos", "--mode", "jpg"]
    refused = call(*argv)
    assert (refused.code, refused.out) == (5, "")
    assert str(bad) in refused.err
    assert "--on-bad skip" in refused.err
    assert not list((home / "data").glob("*photos*"))
    skipped = call(*argv, "--on-bad", "skip", "-o", "json")
    assert skipped.code == 0
    assert "1 image could not be kept, and left out:" in skipped.err
    assert str(bad) in skipped.err
    assert skipped.json()["num_bad_images"] == 1


def test_ctrl_c_says_so_and_leaves_nothing(folder: Path) -> None:
    for label in "ab":
        for place in range(1500):
            (folder / label / f"link-{place}.jpg").hardlink_to(folder / label / "0.jpg")
    with Sandbox() as sandbox:
        command = sandbox.start("data", "prepare", folder, "--as", "photos", "--mode", "jpg")
        sandbox.wait_for(lambda: list((sandbox.home / "data").glob(".photos.part/train.beton")))
        command.interrupt()
        interrupted = command.finish()
        assert (interrupted.code, interrupted.out) == (130, "")
        assert interrupted.err.splitlines()[-1] == "interrupted"
        sandbox.wait_for_the_end()  # of the process that converts, too
        assert not list((sandbox.home / "data").iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--quality", "80"], "--quality goes with --mode"),
        (["--shorter-side", "20"], "--shorter-side goes with --mode"),
        (["--mode", "jpg", "--size", "32"], "--size makes raw squares"),
        (["--mode", "raw", "--quality", "80"], "--quality does not go with --mode raw"),
        (["--mode", "jpg", "--jpeg-share", "0.3"], "--jpeg-share goes with --mode proportion"),
        (["--mode", "jpg", "--longer-side", "0"], "resized to 0 pixels"),
        (["--mode", "jpg", "--limit", "0"], "0 images"),
        ([], "--size 32"),
    ],
)
def test_options_that_cannot_be_meant(
    options: list[str], says: str, folder: Path, call: Call, home: Path
) -> None:
    refused = call("data", "prepare", folder, "--as", "photos", *options)
    assert refused.code == 2
    assert says in refused.err
    assert not list((home / "data").glob("*photos*"))


def test_a_run_on_images_of_many_sizes_needs_to_know_how_they_are_cut(
    folder: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("data", "prepare", folder, "--as", "photos", "--mode", "jpg").code == 0
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps(tiny_job()))
    small = ("--set", "train.global_batch_size=8", "--set", "train.bn_group=4")
    refused = call("submit", job, "--data", "photos", *small)
    assert_refused(refused, 2, f"{job}:", "data.crop", "--size")
    cut = [
        "data.crop={kind: random_resized, size: 16}",
        "data.view={resize: 18, size: 16}",
        "data.augment.pad=0",
        "data.normalize=channel_mean",
    ]
    argv = [argument for override in cut for argument in ("--set", override)]
    monkeypatch.setattr(pixels, "_library", object)
    planned = call("submit", job, "--data", "photos", *small, *argv, "--dry-run", "-o", "json")
    assert planned.code == 0
    assert (planned.json()["train_sizes"], planned.json()["image_size"]) == ([16], 16)
    assert "warning" not in planned.err
    monkeypatch.setattr(pixels, "_library", lambda: None)
    slow = call("submit", job, "--data", "photos", *small, *argv, "--dry-run", "-o", "json")
    assert slow.json() == planned.json()
    assert "PIL cuts the images" in slow.err
    assert "libjpeg-dev" in slow.err


def test_verify_names_what_is_wrong(folder: Path, call: Call, home: Path) -> None:
    argv = ["data", "prepare", folder, "--as", "photos", "--mode", "jpg", "--longer-side", "20"]
    assert call(*argv).code == 0
    whole = call("data", "verify", "photos")
    assert (whole.code, whole.out) == (0, "")
    beton = home / "data/photos/train.beton"
    content = bytearray(beton.read_bytes())
    content[8 << 20] ^= 1  # the first byte of the first image: pages have 8 MiB
    beton.write_bytes(content)
    damaged = call("data", "verify", "photos", "-o", "json")
    assert damaged.code == 5
    (fault,) = damaged.json()["faults"]
    assert (fault["path"], fault["image"]) == (str(beton), 0)
    assert f"{beton}: image 0 was changed" in damaged.err
    mend = f"data prepare {folder} --as photos --mode jpg --longer-side 20 --quality 90"
    assert mend in " ".join(damaged.err.split())
    alone = call("data", "verify", beton)
    assert alone.code == 5
    assert "image 0 is not an image that can be decoded" in alone.err
    assert_refused(call("data", "verify", "nothing"), 3, "nothing")
