"""What pyproject.toml cannot declare: the job files in the wheel, and the extension in C."""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py


class BuildWithJobs(build_py):
    """An editable install needs no copy: the package finds `jobs/` beside itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "resnet_cluster")
        for job in sorted(Path("jobs").rglob("*.yaml")):
            self.mkpath(str(target / job.parent))
            self.copy_file(str(job), str(target / job.parent))


PIXELS = Extension(
    "resnet_cluster.data._pixels",
    ["resnet_cluster/data/_pixels.c"],
    libraries=["jpeg"],
    # A fused multiplication would round the filter's weights otherwise than PIL does.
    extra_compile_args=["-O3", "-ffp-contract=off"],
    optional=True,  # without libjpeg-turbo's headers PIL does the same, more slowly
)

setup(cmdclass={"build_py": BuildWithJobs}, ext_modules=[PIXELS])
