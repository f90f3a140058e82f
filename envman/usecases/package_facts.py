"""How large packages are, and under which licenses: their wheels are unpacked beside everything else."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, distributions
from pathlib import Path

from envman.lock.lockfile import Pin, pins_text
from envman.packages.installed import read_package
from envman.packages.license import license_of
from envman.system.files import scratch_folder
from envman.uv.runner import Uv

Version = tuple[str, str]
"""A package's name and version."""


@dataclass(frozen=True)
class PackageFacts:
    """A version of a package: the bytes of its files as they are installed, and its license."""

    size: int
    license: str


def package_facts(pins: Iterable[Pin], python: str, uv: Uv) -> dict[Version, PackageFacts]:
    """What can be known of these pins, of which no two are of one package; others have no wheel, or can't be
    fetched.
    """
    wanted = [replace(pin, marker="") for pin in pins]
    if not wanted:
        return {}
    with scratch_folder(os.environ) as folder:
        if uv.unpack(pins_text(wanted), python, folder / "all"):
            return _read(folder / "all")
        found: dict[Version, PackageFacts] = {}
        for number, pin in enumerate(wanted if len(wanted) > 1 else ()):
            if uv.unpack(pins_text([pin]), python, folder / str(number)):
                found |= _read(folder / str(number))
        return found


def _read(folder: Path) -> dict[Version, PackageFacts]:
    found: dict[Version, PackageFacts] = {}
    for distribution in distributions(path=[str(folder)]):
        try:
            package = read_package(distribution)
        except UnicodeDecodeError:
            continue
        if package and package.version:
            facts = PackageFacts(_size(distribution), str(license_of(package)))
            found[package.name, package.version] = facts
    return found


def _size(distribution: Distribution) -> int:
    """The sizes of its files, as its RECORD has them."""
    rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    return sum(int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit())
