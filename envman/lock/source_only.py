"""Packages of a lock that have no wheel for a platform: a build of theirs runs their code on the builder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

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
    for wheel in package.get("wheels", ()):
        file = unquote(str(wheel.get("name") or wheel.get("path") or wheel.get("url", "")).rpartition("/")[2])
        try:
            tags = parse_wheel_filename(file)[3]
        except InvalidWheelFilename:
            continue
        if any(_fits(tag, platform, python) for tag in tags):
            return True
    return False


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
