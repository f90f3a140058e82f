"""Packages that differ between two sets, and which of them can only move together. Values alone.

A mixed set has some packages as the one set has them, and the others as the other one. It can be installed
where each package's own metadata (Requires-Dist) is content, as far as it was in the two sets themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from envman.packages.package import Package


@dataclass(frozen=True)
class Moved:
    """A package that differs: its versions in the old and in the new set; None: it is not there."""

    package: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class MovedGroup:
    """Packages that move together, and all groups by their numbers that have to have moved with them, this
    one included.
    """

    packages: tuple[Moved, ...]
    with_groups: frozenset[int]


def moved_groups(
    old: Iterable[Package],
    new: Iterable[Package],
    marker_environment: Mapping[str, str],
    asked: Iterable[str] = (),
) -> tuple[MovedGroup, ...]:
    """The packages that differ, in groups, in an order in which the first so many always fit together.

    `asked` are requirements of somebody else, whose extras count. Groups are as small as can be.
    """
    sides = ({one.name: one for one in old}, {one.name: one for one in new})
    names = sorted(
        name
        for name in sides[0].keys() | sides[1].keys()
        if _version(sides[0], name) != _version(sides[1], name)
    )
    wanted = [text for side in sides for one in side.values() for text in one.requires]
    demands = _Demands(marker_environment, _extras([*wanted, *asked]))
    needs: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for mine, other in ((1, 0), (0, 1)):
            for needed, specifier in demands.of(sides[mine].get(name)):
                if needed not in needs or needed == name:
                    continue
                if _fits(_version(sides[mine], needed), specifier) and not _fits(
                    _version(sides[other], needed), specifier
                ):  # new asks for new: it moves with it; old asks for old: that one takes this one along
                    first, second = (name, needed) if mine else (needed, name)
                    needs[first].add(second)
    components = _components(needs)
    numbers = {name: number for number, component in enumerate(components) for name in component}
    groups: list[MovedGroup] = []
    for number, component in enumerate(components):
        below = {numbers[needed] for name in component for needed in needs[name]} - {number}
        reached = frozenset({number}).union(*(groups[one].with_groups for one in below))
        packages = tuple(Moved(name, *(_version(side, name) for side in sides)) for name in sorted(component))
        groups.append(MovedGroup(packages, reached))
    return tuple(groups)


def _version(side: Mapping[str, Package], name: str) -> str | None:
    return side[name].version if name in side else None


def _fits(version: str | None, specifier: str) -> bool:
    if version is None:
        return False
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except ValueError:
        return True


@dataclass(frozen=True)
class _Demands:
    """What packages ask for, under an interpreter and with the extras that anybody asks for."""

    markers: Mapping[str, str]
    extras: Mapping[str, set[str]]

    def of(self, package: Package | None) -> Iterator[tuple[str, str]]:
        """Names and version specifiers."""
        for requirement in _parsed(package.requires if package else ()):
            extras = ["", *self.extras.get(package.name if package else "", ())]
            marker = requirement.marker
            if marker is None or any(marker.evaluate({**self.markers, "extra": one}) for one in extras):
                yield canonicalize_name(requirement.name), str(requirement.specifier)


def _extras(requirements: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for requirement in _parsed(requirements):
        found.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return found


def _parsed(texts: Iterable[str]) -> Iterator[Requirement]:
    for text in texts:
        try:
            yield Requirement(text)
        except (InvalidRequirement, RecursionError):
            continue


def _components(needs: Mapping[str, set[str]]) -> list[list[str]]:
    """Names that need each other by any detour, each such set behind those that it needs (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    trail: list[str] = []
    found: list[list[str]] = []

    def enter(name: str) -> None:
        index[name] = low[name] = len(index)
        trail.append(name)

    for start in sorted(needs):
        if start in index:
            continue
        enter(start)
        walk = [(start, iter(sorted(needs[start])))]
        while walk:
            name, rest = walk[-1]
            following = next(rest, None)
            if following is None:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[name])
                if low[name] == index[name]:
                    position = trail.index(name)
                    found.append(trail[position:])
                    del trail[position:]
            elif following not in index:
                enter(following)
                walk.append((following, iter(sorted(needs[following]))))
            elif following in trail:
                low[name] = min(low[name], index[following])
    return found
