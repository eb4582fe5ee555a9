"""Freed memory is kept for the next step: seen in the kernel's count of page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_STEPS = """
import resource, sys, torch
from resnet_cluster.nets import build_net
from resnet_cluster.training.memory import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    keep_freed_memory()
net = build_net(family="cifar", depth=8, shortcut="A", num_classes=10)
images = torch.rand(64, 3, 32, 32)
def page_faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        net.zero_grad()
        net(images).sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
page_faults(5)
print(page_faults(5))
"""


def page_faults(mode: str) -> int:
    """Of five steps of a small net, once it has had all the memory that it needs."""
    argv = [sys.executable, "-c", _STEPS, mode]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_steps_need_no_new_pages() -> None:
    # Some thousands a step, against none or a few hundred where the heap still grows a little.
    assert page_faults("keep") < page_faults("leave") / 4
