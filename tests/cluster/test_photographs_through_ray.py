"""Photographs of many sizes on a real cluster, on a disk that has lost a part of one of them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from sandbox import Sandbox
from tiny_runs import events, only_run, tiny_job

from resnet_cluster.data.beton import read_index
from resnet_cluster.data.manifest import Manifest, read_manifest, write_manifest
from resnet_cluster.data.manifest_fields import ManifestFields
from resnet_cluster.files import sha256_of

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]
BAD_PLACE = 7


@pytest.fixture
def images(shared_data: Path, tmp_path: Path) -> Path:
    """Sixty photographs of ImageNet in two made-up classes."""
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        members = [member for member in tar if member.isfile()][:60]
        for place, member in enumerate(members):
            path = tmp_path / "images" / "ab"[place % 2] / f"{place:02d}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            file = tar.extractfile(member)
            assert file is not None
            path.write_bytes(file.read())
    return tmp_path / "images"


def _spoil(folder: Path) -> None:
    """Lose an image in a way that the check before a run cannot see: as in a file above 1 GiB."""
    beton = folder / "train.beton"
    index = read_index(beton)
    with beton.open("r+b") as file:
        file.seek(int(index.pointers[BAD_PLACE]))
        file.write(bytes(int(index.lengths[BAD_PLACE])))
    content = read_manifest(folder).model_dump(mode="json", exclude={"checksum"})
    content["train"]["sha256"] = sha256_of(beton)
    fields = ManifestFields.model_validate_json(json.dumps(content))
    write_manifest(Manifest.sealed(fields), folder)


def test_a_run_goes_on_and_names_the_image_it_lost(images: Path) -> None:
    job = tiny_job(
        {
            "data": {
                "name": "photos",
                "crop": {"kind": "random_resized", "size": 32},
                "view": {"resize": 36, "size": 32},
                "shuffle_pages": 1,
                "augment": {"pad": 0, "flip": True, "color": "pca"},
                "normalize": "channel_mean_std",
            },
            "evaluate": {
                "protocols": ["single", "ten-crop", "multi-scale"],
                "scales": [32, 40],
                "norms_every": 2,
            },
            "train.global_batch_size": 16,
            "train.bn_group": 8,
        }
    )
    with Sandbox() as sandbox:
        prepared = sandbox.run("data", "prepare", images, "--as", "photos", "--mode", "jpg")
        assert prepared.code == 0, prepared.err
        _spoil(sandbox.home / "data" / "photos")
        result = sandbox.run("submit", sandbox.write_job(job))
        assert result.code == 0, result.err
        lost = f"image {BAD_PLACE} of the train split is damaged"
        assert result.err.count(lost) == 1
        record = events(only_run(sandbox))[f"bad-train-{BAD_PLACE:09d}"]
        assert (record["kind"], record["place"]) == ("bad_sample", BAD_PLACE)
        norms = [name for name in events(only_run(sandbox)) if name.startswith("norms-")]
        assert norms == ["norms-00001", "norms-00003"]
        analyzed = sandbox.run("analyze", "tiny", "-o", "json").json()
        assert [each["epoch"] for each in analyzed["norms"]] == [1, 3]
        shown = sandbox.run("analyze", "tiny").out
        assert "signal, epoch 1" in shown
        assert "gradient, epoch 3" in shown
        status = sandbox.run("status", "tiny", "-o", "json").json()
        assert (status["state"], status["num_bad_samples"]) == ("SUCCEEDED", 1)
        figures = {each["protocol"]: each["errors"]["num_images"] for each in status["evaluations"]}
        assert figures == {
            "single": 12,
            "ten-crop-32of36-softmax": 12,
            "multi-scale-32-40-softmax": 12,
        }
        assert lost in sandbox.run("logs", "tiny").out
        verified = sandbox.run("data", "verify", "photos")
        assert verified.code == 5
        assert f"image {BAD_PLACE} was changed" in verified.err
        parity = sandbox.run("data", "parity", "photos", "--run", "tiny", "-o", "json")
        assert parity.code == 0, parity.err
        assert parity.json()["agreement"] == 100
