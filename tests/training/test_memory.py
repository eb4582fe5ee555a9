"""Freed memory is kept for the next step: seen in the kernel's count of page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_STEPS = """
import resource, sys, torch
if sys.argv[1] == "keep":
    from resnet_cluster.training.memory import keep_freed_memory
    keep_freed_memory()
def step():
    tensors = [torch.ones(2**20) for _ in range(40)]  # 4 MiB each, all alive at once
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    """Of ten steps that free all they have, in a process of their own."""
    argv = [sys.executable, "-c", _STEPS, mode]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_steps_after_the_first_need_no_new_pages() -> None:
    pages = 10 * 40 * 1024
    assert page_faults("leave") > pages / 10
    assert page_faults("keep") < pages / 100
