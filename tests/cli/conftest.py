"""The command line in this process, where a process of its own would tell no more."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_calls import Call
from prepared import prepare_digits, prepare_few_digits
from sandbox import Result

from resnet_cluster.cli import main
from resnet_cluster.data import prepare
from resnet_cluster.data.encoding import Encoding


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command line with an empty home: arguments in, exit code and output out."""
    for name in ("RAY_ADDRESS", "RESNET_CLUSTER_DEBUG", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def call_main(*argv: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["resnet-cluster", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Result(code, captured.out, captured.err)

    return call_main


@pytest.fixture(scope="session")
def prepared_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder with 200 digits to train on and 40 to test on; not to be changed."""
    folder = tmp_path_factory.mktemp("digits")
    return prepare_few_digits(folder, num_train=200, num_test=40).parent


@pytest.fixture
def data_root(prepared_digits: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """That folder, in use."""
    monkeypatch.setenv("RESNET_CLUSTER_DATA", str(prepared_digits))
    return prepared_digits


@pytest.fixture(scope="session")
def papers_data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder where digits go by the name of CIFAR-10, and 300 photographs by ImageNet's."""
    folder = tmp_path_factory.mktemp("papers")
    prepare_digits(folder, image_size=32).rename(folder / "data" / "cifar10")
    with tarfile.open(shared_data / "imagenet-sample.tar") as tar:
        members = [member for member in tar if member.isfile()]
        for place, member in enumerate(members[:350]):
            path = folder / "images" / "ab"[place % 2] / f"{place:03d}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            file = tar.extractfile(member)
            assert file is not None
            path.write_bytes(file.read())
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RESNET_CLUSTER_DATA", str(folder / "data"))
        prepare(str(folder / "images"), name="imagenet", encoding=Encoding(mode="jpg"))
    return folder / "data"
