"""Others' Dags, fetched: unpacked from source distributions and wheels, never built or imported here."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.others.packages import TEST_TOOLS, requirement

TESTS = "tests/system/"
TOOLS = "tests_common/"
IGNORED = ".airflowignore"


def fetch_system_tests(providers: Iterable[str], folder: Path) -> Path:
    """Put the system tests of providers, and what they import of Airflow's test tools, into a new folder.

    They stand there as in Airflow's own checkout, so that they can import each other: it is one bundle.
    """
    archives = folder.with_name(f"{folder.name}-archives")
    if not archives.is_dir():
        unfinished = archives.with_suffix(".new")
        unfinished.mkdir(parents=True, exist_ok=True)
        _download(unfinished, ":all:", [requirement(provider) for provider in providers])
        _download(unfinished, ":none:", ["==".join(TEST_TOOLS)])
        unfinished.rename(archives)
    folder.mkdir()
    for archive in sorted(archives.glob("*.tar.gz")):
        _unpack_system_tests(archive, folder)
    (wheel,) = archives.glob("*.whl")
    with zipfile.ZipFile(wheel) as tools:
        tools.extractall(folder, [name for name in tools.namelist() if name.startswith(TOOLS)])
    (folder / IGNORED).write_text(f"{TOOLS}\n")
    return folder


@contextmanager
def only_files(folder: Path, files: Collection[str]) -> Iterator[None]:
    """For a while, have only some files of a bundle parsed."""
    ignored = folder / IGNORED
    before = ignored.read_text()
    others = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")} - {*files}
    ignored.write_text(before + "".join(f"/{path}\n" for path in sorted(others)))
    try:
        yield
    finally:
        ignored.write_text(before)


def _download(folder: Path, from_source: str, requirements: list[str]) -> None:
    """Download with pip, as uv downloads nothing that it does not install."""
    words = ["pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "--no-binary", from_source]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run([sys.executable, "-m", *words, *requirements], env=environ, check=True)


def _unpack_system_tests(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            _, _, path = member.name.partition("/")
            if path.startswith(TESTS) and member.isfile():
                member.name = path.removeprefix("tests/")
                opened.extract(member, folder, filter="data")
