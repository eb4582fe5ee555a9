"""`python -m resnet_cluster`: the same as `resnet-cluster`."""

from __future__ import annotations

from resnet_cluster.cli import entry

if __name__ == "__main__":
    entry()
