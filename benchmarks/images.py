"""`image`: two Airflow environments into one image, against buildah with the same locks on the same base.

Both have their package caches, and the base unpacked. As root, with the Debian packages of the lane `images`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from benchmarks.measure import Sample, clean_environment, run
from benchmarks.report import Comparison
from benchmarks.settings import Settings
from envman.oci.image_layout import Layout
from envman.usecases.images.own_wheel import write_own_wheel
from tests.images import machine

ROUNDS = 3
BUILDAH = "buildah build of the Containerfile that envman prints"
COPY = "buildah build that copies the environments, and push to an OCI layout"
OWN = "envman image build, environments and layers from nothing"
PACK = "envman image build, layers from nothing"
AGAIN = "envman image build, nothing has changed"

AIRFLOW = '"apache-airflow-core", "apache-airflow-providers-standard"'
FILES = {
    "envman.toml": 'root = "/venv"\nairflow-version = "3.3.2"\n[defaults]\nrequires-python = "==3.11.*"\n'
    'platforms = ["linux-x86_64"]\n',
    "environments/env_a.toml": f'dependencies = [{AIRFLOW}, "pandas<2", "numpy<2"]\n',
    "environments/env_b.toml": f'dependencies = [{AIRFLOW}, "pandas>=2.2"]\n',
}


class ImageProject:
    """Both ways to the image, each with caches of its own."""

    def __init__(self, settings: Settings, storage: Mapping[str, str]) -> None:
        self.settings = settings
        self.folder = settings.folder / "image"
        self.cache = self.folder / "cache"
        self.environment = clean_environment() | storage | {"ENVMAN_CACHE_DIR": str(self.cache)}
        self.base = ""

    def prepare(self) -> None:
        """A base, the locks, and every cache filled by one build of each kind."""
        for path, text in FILES.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text, encoding="utf-8")
        shutil.rmtree(self.folder / "base", ignore_errors=True)
        (self.folder / "base").mkdir()
        self.base = machine.make_base(self.folder / "base")
        self._envman("lock")
        self._envman("image", "build", "--all-in-one", "--base", self.base, "--tag", "image:1")
        self._buildah("pull", "--quiet", self.base)
        found = self._output("buildah", "images", "--quiet", "--no-trunc").split()
        self._buildah("tag", found[0].removeprefix("sha256:"), "localhost/base:12")
        (self.folder / "dist").mkdir(exist_ok=True)
        wheel = write_own_wheel(self.folder / "dist").relative_to(self.folder)
        words = ["image", "containerfile", "--all-in-one", "--base", "containers-storage:localhost/base:12"]
        text = self._output(self.settings.envman, *words, "--wheel", wheel)
        (self.folder / "Containerfile").write_text(text, encoding="utf-8")
        self._stage()
        self.by_buildah(Path("first"))

    def _stage(self) -> None:
        """The image's files as a folder, for the rival that only copies."""
        staged = self.folder / "staged"
        shutil.rmtree(staged, ignore_errors=True)
        (staged / "venv").mkdir(parents=True)
        (root,) = (self.cache / "roots").iterdir()
        subprocess.run(["cp", "-a", f"{root}/.", str(staged / "venv")], check=True)
        text = "FROM localhost/base:12\nCOPY venv /venv\n"
        (staged / "Containerfile").write_text(text, encoding="utf-8")

    def by_buildah(self, _target: Path) -> Sample:
        """Run the Containerfile: envman installed, environments built and copied; mounted caches stay."""
        secrets = [
            f"--secret=id=certificates,src={path}" for path in [os.environ.get("SSL_CERT_FILE")] if path
        ]
        words = [
            "build",
            "--network=host",
            "--no-cache",
            *secrets,
            "--tag=localhost/image:1",
            str(self.folder),
        ]
        return self._sum(self._buildah(*words), self._push())

    def copied(self, _target: Path) -> Sample:
        """Copy what is built already."""
        words = ["build", "--no-cache", "--tag=localhost/image:1", str(self.folder / "staged")]
        return self._sum(self._buildah(*words), self._push())

    def _push(self) -> Sample:
        shutil.rmtree(self.folder / "pushed", ignore_errors=True)
        return self._buildah("push", "--quiet", "localhost/image:1", f"oci:{self.folder}/pushed:1")

    def own(self, _target: Path) -> Sample:
        """Environments and layers, with an empty store of bytecode."""
        for name in ("roots", "images", "bytecode"):
            shutil.rmtree(self.cache / name, ignore_errors=True)
        return self.again(_target)

    def packed(self, _target: Path) -> Sample:
        """Layers of environments that are built already."""
        shutil.rmtree(self.cache / "images", ignore_errors=True)
        return self.again(_target)

    def again(self, _target: Path) -> Sample:
        """All there is to do, with what is there."""
        return self._envman("image", "build", "--all-in-one", "--base", self.base, "--tag", "image:1")

    def digest(self) -> str:
        """Of the image that was built last."""
        return Layout(self.cache / "images").names()["image:1"].digest

    def size(self) -> int:
        """Bytes of the image's layers."""
        return sum(path.stat().st_size for path in (self.cache / "images/blobs/sha256").iterdir())

    def _envman(self, *words: str) -> Sample:
        return run([self.settings.envman, *words], self.environment, self.folder)

    def _buildah(self, *words: str) -> Sample:
        return run(["buildah", *words], self.environment, self.folder)

    def _output(self, *words: str | Path) -> str:
        return subprocess.run(
            [str(word) for word in words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    @staticmethod
    def _sum(*samples: Sample) -> Sample:
        return Sample(sum(one.wall for one in samples), sum(one.cpu for one in samples))


def compare(settings: Settings) -> list[Comparison]:
    """Wall time from locks to an image, and of packing alone."""
    with machine.storage() as storage:
        project = ImageProject(settings, storage)
        project.prepare()
        sides: dict[str, Callable[[Path], Sample]] = {
            BUILDAH: project.by_buildah,
            COPY: project.copied,
            OWN: project.own,
            PACK: project.packed,
            AGAIN: project.again,
        }
        samples: dict[str, list[Sample]] = {side: [] for side in sides}
        digests = {project.digest()}
        for _ in range(settings.rounds or ROUNDS):
            for side, build in sides.items():
                os.sync()
                samples[side].append(build(project.folder))
            digests.add(project.digest())
        notes = (
            f"digests of {len(samples[OWN]) + 1} builds from nothing by envman: {len(digests)}",
            f"layers of the base and of envman's image together: {project.size() / 1e6:.0f} MB",
            f"processor time of packing: {_cpu(samples[PACK])} against {_cpu(samples[COPY])}",
        )
        walls = {side: [sample.wall for sample in taken] for side, taken in samples.items()}
        whole = {side: walls[side] for side in (BUILDAH, OWN)}
        packing = {side: walls[side] for side in (COPY, PACK, AGAIN)}
        title = "image: two Airflow environments in one image, warm package caches"
        return [
            Comparison(f"{title}, from the locks", whole, (BUILDAH,), notes=notes),
            Comparison(f"{title}, environments are built", packing, (COPY,)),
        ]


def _cpu(samples: list[Sample]) -> str:
    return f"{median(sample.cpu for sample in samples):.1f} s"
