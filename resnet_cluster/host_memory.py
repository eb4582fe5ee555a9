"""How much memory a process on this machine can still have."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path


def available_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that is free or whose page cache gives way, within the limit of the control group.

    What a group uses already is not taken off: it is page cache for the most part.

    Args:
        proc, groups: where Linux shows its processes and its control groups.
    """
    available = re.search(r"^MemAvailable:\s+(\d+) kB", (proc / "meminfo").read_text(), re.M)
    assert available, "Linux has said so since 3.14"
    return min([1024 * int(available[1]), *_group_limits(proc, groups)])


def _group_limits(proc: Path, groups: Path) -> Iterator[int]:
    for path in _limit_files(proc, groups):
        # No such file where there is another version, and `max` where there is no limit.
        with contextlib.suppress(OSError, ValueError):
            yield int(path.read_text())


def _limit_files(proc: Path, groups: Path) -> Iterator[Path]:
    yield groups / "memory.max"
    yield groups / "memory/memory.limit_in_bytes"
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                yield groups / path.lstrip("/") / "memory.max"
            elif "memory" in controllers.split(","):
                yield groups / "memory" / path.lstrip("/") / "memory.limit_in_bytes"
