"""Which upgrades somebody else's packages hold back today, by what is installed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envman.packages.package import Package
from envman.spec.requirement_text import parse_requirement

PYTHON = "python"
"""The interpreter, among packages."""

_CAPS = frozenset({"<", "<=", "==", "===", "~="})


@dataclass(frozen=True, order=True)
class HeldUpgrade:
    """A package that could be newer without another one, which others need.

    `package` may be 'python'. `holder` asks for `requirement`; `environments` need the holder, none where
    nobody does.
    """

    package: str
    version: str
    holder: str
    requirement: str
    environments: tuple[str, ...]


@dataclass(frozen=True)
class Demand:
    """What an installed package asks of another one, or of Python."""

    holder: str
    package: str
    text: str
    specifier: SpecifierSet


def demands(packages: Iterable[Package], marker_environment: Mapping[str, str]) -> tuple[Demand, ...]:
    """What installed packages ask of each other without extras; what is not of PEP 508 is passed over."""
    return tuple(demand for one in packages for demand in _of_package(one, marker_environment))


def _of_package(one: Package, marker_environment: Mapping[str, str]) -> Iterator[Demand]:
    try:
        if one.requires_python:
            yield Demand(one.name, PYTHON, one.requires_python, SpecifierSet(one.requires_python))
    except InvalidSpecifier:
        pass
    for line in one.requires:
        try:
            requirement = parse_requirement(line)
            marker = requirement.marker
            if requirement.specifier and (
                marker is None or marker.evaluate({**marker_environment, "extra": ""})
            ):
                name = canonicalize_name(requirement.name)
                yield Demand(one.name, name, str(requirement), requirement.specifier)
        except (ValueError, RecursionError):  # packaging's own errors are ValueErrors
            continue


def held_upgrades(
    versions: Mapping[str, str], environments: Mapping[str, Collection[str]], asked: Iterable[Demand]
) -> dict[str, tuple[HeldUpgrade, ...]]:
    """For each environment what it could upgrade once it is by itself.

    `versions` are today's, Python's among them; `environments` say which packages each needs.
    """
    by_package: dict[str, list[Demand]] = {}
    for demand in asked:
        by_package.setdefault(demand.package, []).append(demand)
    found: dict[str, tuple[HeldUpgrade, ...]] = {}
    for name, needed in environments.items():
        held: set[HeldUpgrade] = set()
        for package in (*needed, PYTHON):
            about = by_package.get(package, [])
            newer = list(_newer(versions.get(package, "")))[package == PYTHON :]  # there is no Python 4
            own = [demand.specifier for demand in about if demand.holder in needed]
            allowed = [one for one in newer if all(specifier.contains(one) for specifier in own)]
            for demand in about:
                if demand.holder not in needed and _caps(demand, allowed):
                    others = [other for other, theirs in environments.items() if demand.holder in theirs]
                    held.add(
                        HeldUpgrade(
                            package, versions[package], demand.holder, demand.text, tuple(sorted(others))
                        )
                    )
        found[name] = tuple(sorted(held))
    return found


def _caps(demand: Demand, allowed: Iterable[Version]) -> bool:
    """Whether it refuses a newer version by an upper bound, and not by an exception such as `!=2.0`."""
    if not any(part.operator in _CAPS for part in demand.specifier):
        return False
    return any(not demand.specifier.contains(one) for one in allowed)


def _newer(version: str) -> Iterator[Version]:
    """Versions that could follow, the next of each place: no index is asked which there are."""
    try:
        release = Version(version).release
    except InvalidVersion:
        return
    for place, number in enumerate(release):
        yield Version(".".join(map(str, (*release[:place], number + 1))))
