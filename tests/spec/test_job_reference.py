"""The reference of job files in docs/ is the one that the specs give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_reference_is_up_to_date() -> None:
    printed = subprocess.run(
        [sys.executable, str(DOCS / "job_reference.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (DOCS / "job.md").read_text() == printed.stdout, (
        "run: python docs/job_reference.py > docs/job.md"
    )
