"""Packages of a lock that have no wheel for a platform: a build of theirs runs their code on the builder."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from packaging.markers import Marker
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from envman.lock.platforms import marker_environment, wheel_machine


@dataclass(frozen=True)
class SourceOnly:
    """A package that only its source distribution can be installed from, on these platforms."""

    package: str
    version: str
    platforms: tuple[str, ...]

    def words(self) -> str:
        """The same in words."""
        return f"{self.package} {self.version} has no wheel for {', '.join(self.platforms)}"


@dataclass(frozen=True)
class SourceFile:
    """A source distribution: where it is, its SHA-256 in hexadecimal, and its size (0: not known).

    `sha256` is empty where a folder or an index tells none.
    """

    name: str
    version: str
    url: str
    sha256: str
    size: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def source_files(pylock: Mapping[str, Any], tags: Container[Tag]) -> tuple[SourceFile, ...]:
    """The sources of those packages of a lock (PEP 751) that have no wheel with one of the tags."""
    found = []
    for package in pylock.get("packages", ()):
        source = package.get("sdist", {})
        sha256 = str(source.get("hashes", {}).get("sha256", ""))
        if source and not any(tag in tags for tag in _tags(package)):
            where = str(source.get("url") or source.get("path", ""))
            url = where if "://" in where else f"file://{quote(where)}"
            named = str(package["name"]), str(package.get("version", ""))
            found.append(SourceFile(*named, url, sha256, int(source.get("size", 0))))
    return tuple(found)


def source_only(pylock: Mapping[str, Any], platforms: Iterable[str], python: str) -> tuple[SourceOnly, ...]:
    """Those packages of a lock (PEP 751) that have no wheel for a platform and a Python, such as '3.12'."""
    platforms = tuple(platforms)
    found = []
    for package in pylock.get("packages", ()):
        lacking = tuple(
            name
            for name in platforms
            if _applies(package, name, python) and not _has_wheel(package, name, python)
        )
        if lacking:
            found.append(SourceOnly(str(package["name"]), str(package.get("version", "")), lacking))
    return tuple(found)


def _applies(package: Mapping[str, Any], platform: str, python: str) -> bool:
    marker = package.get("marker")
    return not marker or Marker(marker).evaluate(marker_environment(platform, python))


def _has_wheel(package: Mapping[str, Any], platform: str, python: str) -> bool:
    return any(_fits(tag, platform, python) for tag in _tags(package))


def _tags(package: Mapping[str, Any]) -> Iterator[Tag]:
    """The tags of all wheels of a package."""
    for wheel in package.get("wheels", ()):
        file = unquote(str(wheel.get("name") or wheel.get("path") or wheel.get("url", "")).rpartition("/")[2])
        with contextlib.suppress(InvalidWheelFilename):
            yield from parse_wheel_filename(file)[3]


def _fits(tag: Tag, platform: str, python: str) -> bool:
    return _fits_python(tag, python) and (tag.platform == "any" or wheel_machine(platform, tag.platform))


def _fits_python(tag: Tag, python: str) -> bool:
    """A wheel for any Python 3, for this one, or by the stable interface of an older one (PEP 425)."""
    major, minor = (int(part) for part in python.split("."))
    if tag.interpreter in {f"py{major}", f"py{major}{minor}"}:
        return tag.abi == "none"
    if not tag.interpreter.startswith(f"cp{major}"):
        return False
    theirs = tag.interpreter.removeprefix(f"cp{major}")
    if theirs == str(minor):
        return tag.abi in {tag.interpreter, "abi3", "none"}
    return tag.abi == "abi3" and theirs.isdigit() and int(theirs) <= minor
