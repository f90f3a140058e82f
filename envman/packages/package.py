"""An installed package as its metadata describes it, and which packages need which."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name


@dataclass(frozen=True, order=True)
class Package:
    """The fields of core metadata that are read here; `name` is normalized (PEP 503), the others as written.

    `license_expression` is PEP 639's. `license_classifiers` are the last parts of trove classifiers, and
    `license_text` is the first line of the field License, which PEP 639 deprecates. Empty: not stated.
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    license_expression: str = ""
    license_classifiers: tuple[str, ...] = ()
    license_text: str = ""
    requires_python: str = ""


def dependencies(
    packages: Iterable[Package], marker_environment: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """For each package the other packages here that it needs, sorted; markers as PEP 508 evaluates them.

    Extras count where a package here asks for them. A requirement that is not of PEP 508 is passed over.
    """
    requirements = {one.name: tuple(_requirements(one.requires)) for one in packages}
    extras: dict[str, set[str]] = {name: set() for name in requirements}
    found: dict[str, set[str]] = {name: set() for name in requirements}
    waiting = sorted(requirements)
    while waiting:  # again for a package of which another one asks for a further extra
        name = waiting.pop()
        for requirement in requirements[name]:
            needed = canonicalize_name(requirement.name)
            if needed not in requirements or not _applies(requirement, extras[name], marker_environment):
                continue
            if needed != name:
                found[name].add(needed)
            asked = {canonicalize_name(extra) for extra in requirement.extras}
            if asked - extras[needed]:
                extras[needed] |= asked
                waiting.append(needed)
    return {name: tuple(sorted(needs)) for name, needs in sorted(found.items())}


def conflicts(
    packages: Iterable[Package], marker_environment: Mapping[str, str], overridden: Container[str]
) -> list[str]:
    """What packages ask for by their own metadata, and these here are not: a sentence each.

    `overridden` are normalized names that may be anything, as a spec overrides what is asked of them. Extras,
    and what is not of PEP 508 and PEP 440, are passed over: they were the resolver's to judge.
    """
    packages = list(packages)
    versions = {one.name: one.version for one in packages}
    python = marker_environment["python_full_version"]
    found = []
    for one in packages:
        if not _admits(one.requires_python, python):
            found.append(f"{one.name} requires Python {one.requires_python}, but it is {python}")
        for requirement in _requirements(one.requires):
            name = canonicalize_name(requirement.name)
            if name in overridden or not _applies(requirement, (), marker_environment):
                continue
            if name not in versions:
                found.append(f"{one.name} requires {requirement}, but that is not installed")
            elif not _admits(str(requirement.specifier), versions[name]):
                found.append(f"{one.name} requires {requirement}, but {versions[name]} is installed")
    return found


def _admits(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except ValueError:  # of either
        return True


def top_level(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The packages that no other one needs, and of those that only need each other the first by name.

    From these all packages can be reached.
    """
    needed = {name for names in needs.values() for name in names}
    tops = [name for name in sorted(needs) if name not in needed]
    reached = _reached(needs, tops)
    for name in sorted(needs):
        if name not in reached:
            tops.append(name)
            reached |= _reached(needs, [name])
    return tuple(sorted(tops))


def _reached(needs: Mapping[str, Sequence[str]], names: Iterable[str]) -> set[str]:
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += needs[name]
    return reached


def _requirements(lines: Iterable[str]) -> Iterable[Requirement]:
    for line in lines:
        try:
            yield Requirement(line)
        except (InvalidRequirement, RecursionError):
            continue


def _applies(requirement: Requirement, extras: Iterable[str], marker_environment: Mapping[str, str]) -> bool:
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({**marker_environment, "extra": extra}) for extra in ("", *extras)
    )
