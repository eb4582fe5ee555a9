"""What the tests of training share: real digits, and real ranks."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from prepared import prepare_digits, prepare_few_digits
from ranks import RankServer, shared_server

from resnet_cluster.data import prepare
from resnet_cluster.data.encoding import Encoding

NUM_EACH = 40


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All the digits in their original 8x8: 1,438 to train on and 359 to test on."""
    return prepare_digits(tmp_path_factory.mktemp("digits"), image_size=8)


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of them: 200 to train on and 70 to test on."""
    return prepare_few_digits(tmp_path_factory.mktemp("few"), num_train=200, num_test=70)


@pytest.fixture(scope="session")
def photos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty photographs of ImageNet, reduced: two made-up classes of forty."""
    folder = tmp_path_factory.mktemp("photos")
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        members = sorted((m for m in tar if m.isfile()), key=lambda member: member.name)
        for place, member in enumerate(members[: 2 * NUM_EACH]):
            path = folder / "images" / "ab"[place % 2] / f"{place:03d}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            file = tar.extractfile(member)
            assert file is not None
            path.write_bytes(file.read())
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RESNET_CLUSTER_DATA", str(folder / "data"))
        prepare(
            str(folder / "images"), name="photos", encoding=Encoding(mode="jpg", shorter_side=96)
        )
    return folder / "data" / "photos"


@pytest.fixture(scope="session")
def server() -> Iterator[RankServer]:
    """Starts ranks."""
    server = shared_server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums have one order, and the cores are left to others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
