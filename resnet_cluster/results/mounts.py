"""Which file system holds a path, so that SQLite is kept off those that break its locks."""

from __future__ import annotations

import re
from pathlib import Path

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|ncpfs|afs|9p2000|lustre|gpfs|beegfs|ceph|glusterfs|pvfs2|orangefs|davfs|"
    r"fuse\.(sshfs|glusterfs|ceph|s3fs|gcsfuse|rclone|davfs2?|juicefs|goofys|mount-s3|beegfs)"
)
_MOUNTS = Path("/proc/mounts")


def network_file_system(path: Path, *, mounts: str | None = None) -> str | None:
    """Type of the network file system that holds `path`, or None where it is a local one.

    Args:
        path: absolute, need not exist.
        mounts: the table of mounts in the form of /proc/mounts; by default this machine's.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(errors="surrogateescape")
        except OSError:  # no such table on this system: nothing is known against the path
            return None
    kind = _file_system(path.resolve(), mounts)
    return kind if _NETWORK.fullmatch(kind) else None


def _file_system(path: Path, mounts: str) -> str:
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1]))
        # The last of equals wins: a later mount hides an earlier one at the same place.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind
