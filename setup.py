"""Puts the job files of `jobs/` into the wheel, as data of the package; the rest is declared."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithJobs(build_py):
    """An editable install needs no copy: the package finds `jobs/` beside itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "resnet_cluster", "jobs")
        self.mkpath(str(target))
        for job in sorted(Path("jobs").glob("*.yaml")):
            self.copy_file(str(job), str(target))


setup(cmdclass={"build_py": BuildWithJobs})
