"""`envman init`: write a starter project into a folder; nothing that is there is overwritten."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from envman.build.interpreters import discover
from envman.errors import Problem, UsageError
from envman.spec.starter import starter_files
from envman.system.files import write_atomic

OLDEST, NEWEST = Version("3.10"), Version("3.14")
"""The Pythons that the starter is written for: from the oldest, below the newest."""


@dataclass(frozen=True)
class InitOutcome:
    """The files that were written, relative to the folder."""

    folder: str
    files: tuple[str, ...]


def init(folder: Path, airflow: str) -> InitOutcome:
    """Write a starter project; raises UsageError for what is no version, and if a file is there already."""
    try:
        Version(airflow)
    except InvalidVersion:
        raise UsageError(
            Problem("--airflow", f"'{airflow}' is not a version", "Write one such as 3.3.2.")
        ) from None
    found = {interpreter.version for interpreter in discover(None, os.environ).found}
    fitting = [version for version in found if OLDEST <= Version(version) < NEWEST]
    files = starter_files(airflow, sorted(fitting, key=Version, reverse=True))
    there = [name for name in files if (folder / name).exists()]
    if there:
        remedy = "Choose an empty folder: envman init FOLDER"
        raise UsageError([Problem(str(folder / name), "is there already", remedy) for name in there])
    for name, text in files.items():
        write_atomic(folder / name, text)
    return InitOutcome(str(folder), tuple(files))
