from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from image_files import Archive, prepared_names

from resnet_cluster.data import (
    PreparationPlan,
    Progress,
    load_manifest,
    prepare,
)
from resnet_cluster.errors import (
    IntegrityError,
    PreflightError,
)


class _Process:
    """Another process that prepares, under this test's state folder."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", f"from resnet_cluster.data import prepare\n{code}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read(self) -> str:
        assert self.popen.stdout is not None
        with self.popen.stdout as output:
            return output.read()


def _stop_converter(signal_number: int) -> Callable[[Progress | PreparationPlan], None]:
    def on_event(event: Progress | PreparationPlan) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it may be gone at the second event
                if "resnet_cluster.data.convert" in child.cmdline():
                    child.send_signal(signal_number)

    return on_event


@pytest.fixture
def _no_process_is_left() -> Iterator[None]:
    yield
    assert not [p for p in psutil.Process().children() if "convert" in " ".join(p.cmdline())]


@pytest.mark.usefixtures("_no_process_is_left")
def test_a_conversion_that_stands_still_is_ended(home: Path, photos: Path) -> None:
    with pytest.raises(IntegrityError, match=r"photos\.tar.*stood still there for 0\.5 s"):
        prepare(str(photos), name="photos", on_plan=_stop_converter(signal.SIGSTOP), stall_s=0.5)
    assert prepared_names(home) == []


@pytest.mark.usefixtures("_no_process_is_left")
def test_a_conversion_that_is_killed_is_said(home: Path, cifar_archive: Archive) -> None:
    with pytest.raises(PreflightError, match="ended there by SIGKILL") as caught:
        prepare(str(cifar_archive.path), name="x", on_progress=_stop_converter(signal.SIGKILL))
    assert "memory" in caught.value.mend
    assert prepared_names(home) == []


@pytest.mark.usefixtures("_no_process_is_left")
def test_ctrl_c_ends_the_conversion_and_leaves_nothing(home: Path, photos: Path) -> None:
    def interrupt(plan: PreparationPlan) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(str(photos), name="photos", on_plan=interrupt)
    assert prepared_names(home) == []
    assert prepare(str(photos), name="photos").is_new


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_a_preparation_that_is_killed_takes_its_conversion_along(
    home: Path, photos: Path, signal_number: int
) -> None:
    code = """
import sys, threading
def stay(plan):
    print("planned", flush=True)
    threading.Event().wait()
prepare(sys.argv[1], name="photos", on_plan=stay)
"""
    process = _Process(code, str(photos))
    assert process.popen.stdout is not None
    with process.popen:
        assert process.popen.stdout.readline() == "planned\n"
        children = psutil.Process(process.popen.pid).children()
        assert len(children) == 1
        process.popen.send_signal(signal_number)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert ".photos.part" in prepared_names(home)
    with pytest.raises(PreflightError):
        load_manifest("photos")
    assert prepare(str(photos), name="photos").is_new
    assert prepared_names(home) == ["photos"]


def test_two_preparations_of_one_name_do_not_meet(home: Path, photos: Path) -> None:
    (home / "data").mkdir(parents=True)
    with (home / "data" / ".photos.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PreflightError, match="another process is preparing it"):
            prepare(str(photos), name="photos")
    assert prepare(str(photos), name="photos").is_new


def _failing(code: str, *arguments: str) -> str:
    process = _Process(
        "import sys\nfrom resnet_cluster.errors import ResnetClusterError\n"
        "def run(*args, **kwargs):\n"
        "    try: prepare(*args, **kwargs)\n"
        "    except ResnetClusterError as error:\n"
        "        print(type(error).__name__, error.message, error.mend, sep='|')\n" + code,
        *arguments,
    )
    with process.popen:
        return process.read()


def test_a_disk_that_fills_up_is_said_and_nothing_is_left(home: Path, photos: Path) -> None:
    # A limit on the size of a file is refused by the kernel as a full disk is, without root.
    output = _failing(
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "run(sys.argv[1], name='photos')",
        str(photos),
    )
    kind, message, mend = output.strip().split("|")
    assert kind == "PreflightError"
    assert message == f"{home / 'data'}: the disk is full: 8 MB are needed in all"
    assert "--out" in mend
    assert prepared_names(home) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_refused_beforehand(
    home: Path, photos: Path, small_disk: Path
) -> None:
    plans: list[PreparationPlan] = []
    with pytest.raises(PreflightError, match=r"8 MB are needed .* and 4 MB are free") as caught:
        prepare(str(photos), name="photos", out=small_disk / "photos", on_plan=plans.append)
    assert str(small_disk) in caught.value.message
    assert "--out" in caught.value.mend
    assert plans[0].free_bytes < plans[0].num_bytes
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(home: Path, photos: Path) -> None:
    home.mkdir()
    (home / "data").write_text("a file where the folder should be")
    with pytest.raises(PreflightError, match="data: ") as caught:
        prepare(str(photos), name="photos")
    assert caught.value.mend
