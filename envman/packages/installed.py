"""What is installed in a `site-packages` folder, from the metadata that stands there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name

from envman.packages.package import Package

_CLASSIFIER = "License :: "
_NOT_A_LICENSE = "OSI Approved"


def site_packages(generation: Path) -> tuple[Path, ...]:
    """The `site-packages` folders of a generation, by its folder; there is one."""
    return tuple(sorted(generation.glob("lib/*/site-packages")))


def read_packages(folders: Iterable[Path]) -> tuple[Package, ...]:
    """The packages that are installed in these folders, sorted by name; the first folder's one wins."""
    found: dict[str, Package] = {}
    for folder in folders:
        for distribution in distributions(path=[str(folder)]):
            package = read_package(distribution)
            if package:
                found.setdefault(package.name, package)
    return tuple(package for _, package in sorted(found.items()))


def read_package(distribution: Distribution) -> Package | None:
    """An installed package; None for a folder that an uninstallation has left behind.

    Raises UnicodeDecodeError.
    """
    fields, _ = parse_email(distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "")
    if "name" not in fields:
        return None
    return Package(
        name=canonicalize_name(fields["name"]),
        version=fields.get("version", ""),
        requires=tuple(fields.get("requires_dist", ())),
        license_expression=_first_line(fields.get("license_expression", "")),
        license_classifiers=_licenses(fields.get("classifiers", ())),
        license_text=_first_line(fields.get("license", "")),
        requires_python=fields.get("requires_python", ""),
    )


def _licenses(classifiers: Sequence[str]) -> tuple[str, ...]:
    last = (one.rpartition(" :: ")[2].strip() for one in classifiers if one.startswith(_CLASSIFIER))
    return tuple(sorted({one for one in last if one != _NOT_A_LICENSE}))


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else ""
