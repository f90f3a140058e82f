"""Made-up projects: any number of tiny environments, each with one package from a wheelhouse made here."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import clean_environment, run
from benchmarks.settings import Settings

PACKAGE = "bench-content"

_WHEEL = "Wheel-Version: 1.0\nGenerator: benchmarks\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class TinyProject:
    """A project that is locked and built."""

    folder: Path
    wheelhouse: Path
    count: int

    @property
    def root(self) -> Path:
        """Where its environments are published."""
        return self.folder / "root"

    def environment(self, number: int) -> str:
        """The name of an environment; its bundle and its team carry the same number."""
        return f"env_{number:04}"

    def lock(self, number: int) -> Path:
        """The lock of an environment."""
        return self.folder / "environments" / f"{self.environment(number)}.lock"

    def generation(self, number: int) -> Path:
        """The current generation of an environment."""
        return (self.root / self.environment(number)).resolve()


def make_project(settings: Settings, count: int, distinct: bool) -> TinyProject:
    """Write a project anew, lock it and build it.

    `distinct` gives each environment another version of the package, hence a generation of its own; else
    all share one generation, which is much faster to make.
    """
    folder = settings.folder / f"{'distinct' if distinct else 'shared'}-{count}"
    project = TinyProject(folder, folder / "wheelhouse", count)
    shutil.rmtree(folder, ignore_errors=True)
    project.wheelhouse.mkdir(parents=True)
    (folder / "environments").mkdir()
    for number in range(count if distinct else 1):
        write_wheel(project.wheelhouse, f"1.{number}")
    for number in range(count):
        spec = _spec(number, f"1.{number if distinct else 0}")
        (folder / "environments" / f"{project.environment(number)}.toml").write_text(spec, encoding="utf-8")
    (folder / "envman.toml").write_text(_project_file(project), encoding="utf-8")
    (folder / "uv.toml").write_text('no-index = true\nfind-links = ["wheelhouse"]\n', encoding="utf-8")
    jobs = ["--jobs", str(settings.jobs)]
    run([settings.envman, "lock", *jobs], clean_environment(), folder)
    run([settings.envman, "build", "--wheelhouse", "wheelhouse", *jobs], clean_environment(), folder)
    return project


def _project_file(project: TinyProject) -> str:
    lines = ['root = "root"', "", "[bundles]"]
    numbers = range(project.count)
    lines += [f'bundle_{number:04} = {{ environment = "env_{number:04}" }}' for number in numbers]
    lines += ["", "[teams]"]
    lines += [f'team_{number:04} = {{ environment = "env_{number:04}" }}' for number in numbers]
    return "\n".join([*lines, ""])


def _spec(number: int, version: str) -> str:
    return f"""\
requires-python = "=={sys.version_info.major}.{sys.version_info.minor}.*"
dependencies = ["{PACKAGE}=={version}"]
airflow = false

[variables]
keep-out = ["BENCH_SECRET_*"]
set = {{ BENCH_NUMBER = "{number}", BENCH_TEXT = "an environment of its own" }}
"""


def write_wheel(wheelhouse: Path, version: str) -> None:
    """Write a wheel of the package: its version makes an environment differ from all others."""
    name = PACKAGE.replace("-", "_")
    information = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f'VERSION = "{version}"\n',
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n",
        f"{information}/WHEEL": _WHEEL,
    }
    record = "".join(f"{path},{_record_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n"
    with zipfile.ZipFile(wheelhouse / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(zipfile.ZipInfo(path), text)  # a fixed date: the same wheel has the same hash


def _record_digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.decode().rstrip('=')}"
