"""The command line in this process, where a process of its own would tell no more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_calls import Call
from prepared import prepare_few_digits
from sandbox import Result

from resnet_cluster.cli import main


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
