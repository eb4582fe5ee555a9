"""File systems by path, against tables of mounts as the kernel prints them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from resnet_cluster.errors import PreflightError
from resnet_cluster.results import ResultStore, database
from resnet_cluster.results.mounts import network_file_system

MOUNTS = r"""/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /net/home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /net/home/me/scratch xfs rw 0 0
//server/share /net/my\040share cifs rw 0 0
me@host: /net/over-ssh fuse.sshfs rw 0 0
10.0.0.1@tcp:/lustre /net/lustre lustre rw 0 0
/dev/fuse /net/fuse fuse.ext4 rw 0 0
overlay /net/hidden overlay rw 0 0
server:/hidden /net/hidden nfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/store.db", None),
        ("/net/home/me/store.db", "nfs4"),
        ("/net/home", "nfs4"),
        ("/net/homes/store.db", None),
        ("/net/home/me/scratch/store.db", None),
        ("/net/my share/state/store.db", "cifs"),
        ("/net/over-ssh/store.db", "fuse.sshfs"),
        ("/net/lustre/store.db", "lustre"),
        ("/net/fuse/store.db", None),
        ("/net/hidden/store.db", "nfs"),
    ],
)
def test_a_network_file_system_is_told_by_its_mount(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), mounts=MOUNTS) == kind


def test_a_link_is_followed_to_its_file_system(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/ {tmp_path}/target nfs rw 0 0\n"
    assert network_file_system(tmp_path / "link" / "store.db", mounts=mounts) == "nfs"


def test_this_machines_own_mounts_are_read(tmp_path: Path) -> None:
    told = subprocess.run(
        ["stat", "--file-system", "--format=%T", tmp_path], capture_output=True, text=True
    ).stdout.strip()
    if told in ("nfs", "smb2", "cifs", "lustre"):
        pytest.skip("the tests' own folder lies on a network file system")
    assert network_file_system(tmp_path) is None


def test_a_store_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "network_file_system", lambda path: "nfs4")
    with pytest.raises(PreflightError, match="network file system \\(nfs4\\)") as refused:
        ResultStore.open(f"sqlite:///{tmp_path}/state/store.db", runs_root=tmp_path)
    assert "RESNET_CLUSTER_STORE=sqlite:////" in refused.value.mend
    assert not (tmp_path / "state").exists()
