"""Train the networks of "Deep Residual Learning for Image Recognition", and get its tables."""

from __future__ import annotations

__version__ = "0.1.0"
