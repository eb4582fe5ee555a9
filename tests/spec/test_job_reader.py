"""Job files on the disk: what is not one is refused, quickly and by name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from job_values import JOB

from resnet_cluster.errors import JobError
from resnet_cluster.spec import load_yaml


def refusal(path: Path) -> JobError:
    with pytest.raises(JobError) as caught:
        load_yaml(path)
    assert caught.value.exit_code == 2
    assert caught.value.mend
    assert caught.value.message.isprintable()
    return caught.value


def written(folder: Path, content: bytes) -> Path:
    path = folder / "job.yaml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", ":1", "is empty"),
        (b"\n\n# nothing\n", ":4", "is empty"),
        (b"\x00\x01\x02", ":1", "is binary"),
        (b"a: 1\nb: \x00", ":2", "is binary"),
        ("a: 1".encode("utf-16"), ":1", "is not UTF-8|is binary"),
        (b"a: 1\nb: \xff\xfe", ":2", "is not UTF-8: byte 0xff"),
        (b"a: 1\n\n\nb: caf\xe9", ":4", "is not UTF-8: byte 0xe9"),
        (b"- a\n- b\n", ":1", "is not a job"),
        (b"just words\n", ":1", "is not a job"),
        (b"---\n", ":2", "is not a job"),
        (b"#" * 65_537, ":1", "is larger than 64 KiB"),
        (b"a: 1\n" * 2_000_000, ":1", "is larger than 64 KiB"),
    ],
)
def test_content(tmp_path: Path, content: bytes, place: str, message: str) -> None:
    path = written(tmp_path, content)
    error = refusal(path)
    assert error.message.startswith(f"{path}{place}: ")
    assert any(part in error.message for part in message.split("|"))


def test_a_file_beyond_memory_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"")
    os.truncate(path, 1 << 40)  # sparse: it takes no room
    assert "is larger than 64 KiB" in refusal(path).message


def test_missing(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nope.yaml")
    assert error.message == f"{tmp_path / 'nope.yaml'}: there is no such file"
    assert "resnet-cluster init" in error.mend


def test_missing_but_shipped(tmp_path: Path) -> None:
    error = refusal(tmp_path / "jobs/digits_r20.yaml")
    assert error.mend.startswith("run `resnet-cluster init`")
    assert "digits_r20.yaml" in error.mend


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path).message == f"{tmp_path}: is a folder"


def test_below_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, JOB.encode())
    assert "there is no such file" in refusal(path / "job.yaml").message


def test_pipe_without_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refusal(tmp_path / "pipe").message


def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert refusal(Path("socket")).message.startswith("socket: ")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_device(device: str) -> None:
    assert refusal(Path(device)).message == f"{device}: is a device"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    path = written(tmp_path, JOB.encode())
    path.chmod(0)
    assert "permission denied" in refusal(path).message


def test_a_read_that_fails() -> None:
    assert refusal(Path("/proc/self/mem")).message == "/proc/self/mem: input/output error"


@pytest.mark.parametrize("name", ["a\0b", "a" * 300, "x\n\x1b[31m\u202e.yaml", "\udcff.yaml"])
def test_odd_names_are_refused_and_shown_safely(tmp_path: Path, name: str) -> None:
    refusal(tmp_path / name)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = written(tmp_path, b"\x00")
    before = os.listdir("/proc/self/fd")
    for bad in (tmp_path, tmp_path / "pipe", path, tmp_path / "nope"):
        refusal(bad)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    plain = load_yaml(written(tmp_path, JOB.encode()))
    windows = load_yaml(written(tmp_path, b"\xef\xbb\xbf" + JOB.replace("\n", "\r\n").encode()))
    assert windows == plain


def test_symbolic_link_is_followed(tmp_path: Path) -> None:
    path = written(tmp_path, JOB.encode())
    (tmp_path / "link.yaml").symlink_to(path)
    assert load_yaml(tmp_path / "link.yaml").values == load_yaml(path).values
