"""The proposal: an environment for each unit, with what its files import and what that needs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from envman.packages.package import Package, dependencies, top_level
from envman.spec.inputs import CORE
from envman.spec.requirement_text import parse_requirement
from envman.splitting.held_upgrades import PYTHON, HeldUpgrade, demands, held_upgrades
from envman.splitting.module_owners import InstalledDistribution
from envman.splitting.read_code import CodeReach, Needs
from envman.splitting.split_units import SplitUnit

AIRFLOW_ITSELF = frozenset({"apache-airflow", CORE, "apache-airflow-task-sdk"})
"""What the deployment's `airflow-version` pins in every environment."""

EVERYWHERE = "everywhere"
"""Where something is imported that every environment needs: plugins, settings, Airflow's configuration."""


@dataclass(frozen=True)
class ImportedPackage:
    """A package that files import: today's version, the extras that are asked for, and the first place."""

    package: str
    version: str
    extras: tuple[str, ...]
    place: str

    def requirement(self) -> str:
        """The same as a requirement: 'pandas[excel]==1.5.3'."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.package}{extras}=={self.version}"


@dataclass(frozen=True)
class ProposedEnvironment:
    """An environment for one or several units.

    `imported` becomes its spec's dependencies, `packages` are those with all that they need. `alone` are what
    no other proposal needs, `upgrades` what it could upgrade then. `top_imports` are names at a bundle's top
    that files of a folder import: with the folder as a bundle of its own they are not found any more.
    """

    environment: str
    units: tuple[SplitUnit, ...]
    imported: tuple[ImportedPackage, ...]
    packages: Mapping[str, str]
    alone: tuple[str, ...]
    upgrades: tuple[HeldUpgrade, ...]
    missing: tuple[tuple[str, str], ...]
    elsewhere: tuple[tuple[str, str, str], ...]
    top_imports: tuple[tuple[str, str], ...]
    hidden: tuple[tuple[str, str, str], ...]

    @property
    def dags(self) -> int:
        """How many Dag files it is for."""
        return sum(len(unit.dags) for unit in self.units)


@dataclass(frozen=True)
class InstalledNow:
    """What is built today: its packages, the Python that they run on, and what its spec asks for."""

    distributions: tuple[InstalledDistribution, ...]
    marker_environment: Mapping[str, str]
    requirements: tuple[str, ...]
    inherited: tuple[str, ...]

    @property
    def packages(self) -> dict[str, Package]:
        """The packages by name."""
        return {one.name: one.package for one in self.distributions}

    def extras(self, name: str) -> tuple[str, ...]:
        """The extras that the spec asks for of a package, sorted: no import tells of them."""
        wanted = {
            extra
            for line in self.requirements
            for requirement in (parse_requirement(line),)
            if canonicalize_name(requirement.name) == name
            for extra in requirement.extras
        }
        return tuple(sorted(wanted))


def proposals(
    now: InstalledNow,
    units: Mapping[str, Sequence[SplitUnit]],
    reaches: Mapping[str, CodeReach],
    everywhere: Needs,
    airflow_is_pinned: bool,
) -> tuple[ProposedEnvironment, ...]:
    """What each environment would hold; `everywhere` is what all of them need."""
    installed = now.packages
    needs: dict[str, Needs] = {}
    imported: dict[str, tuple[ImportedPackage, ...]] = {}
    closures: dict[str, dict[str, str]] = {}
    for name, parts in units.items():
        needs[name] = Needs()
        for unit in parts:
            found = reaches[unit.bundle].needs(unit.dags)
            needs[name].add(found if unit.folder else replace(found, tops={}))
        places = {**everywhere.packages, **needs[name].packages}
        if CORE in installed:
            places.setdefault(CORE, EVERYWHERE)
        left_out = AIRFLOW_ITSELF if airflow_is_pinned else frozenset()
        imported[name] = tuple(
            ImportedPackage(package, installed[package].version, now.extras(package), place)
            for package, place in sorted(places.items())
            if package not in left_out
        )
        roots = [one.requirement() for one in imported[name]] + [*now.inherited]
        roots += sorted(AIRFLOW_ITSELF & {*places, CORE} & installed.keys())
        closures[name] = closure(installed.values(), roots, now.marker_environment)
    versions = {name: one.version for name, one in installed.items()}
    versions[PYTHON] = now.marker_environment["python_full_version"]
    asked = [
        one
        for one in demands(installed.values(), now.marker_environment)
        if one.package not in AIRFLOW_ITSELF
    ]
    upgrades = held_upgrades(versions, closures, asked)
    return tuple(
        ProposedEnvironment(
            environment=name,
            units=tuple(parts),
            imported=imported[name],
            packages=closures[name],
            alone=_alone(name, closures),
            upgrades=upgrades[name],
            missing=tuple(sorted(needs[name].missing.items())),
            elsewhere=tuple(sorted((key, *value) for key, value in needs[name].elsewhere.items())),
            top_imports=tuple(sorted(needs[name].tops.items())),
            hidden=tuple(sorted((key, *value) for key, value in needs[name].hidden.items())),
        )
        for name, parts in units.items()
    )


def _alone(name: str, closures: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    others = {package for other, theirs in closures.items() if other != name for package in theirs}
    return tuple(sorted(closures[name].keys() - others))


def closure(
    packages: Iterable[Package], requirements: Iterable[str], marker_environment: Mapping[str, str]
) -> dict[str, str]:
    """The installed packages that requirements need, with their versions.

    Extras that a package asks for count only where the package itself is needed: so what is not reached is
    taken out, and the rest looked at again.
    """
    asked = Package("", "", tuple(requirements))
    left = {one.name: one for one in packages}
    while True:
        needs = dependencies([*left.values(), asked], marker_environment)
        reached: set[str] = set()
        waiting = [""]
        while waiting:
            for name in needs[waiting.pop()]:
                if name not in reached:
                    reached.add(name)
                    waiting.append(name)
        if reached == left.keys():
            return {name: one.version for name, one in sorted(left.items())}
        left = {name: one for name, one in left.items() if name in reached}


@dataclass(frozen=True)
class UnneededPackage:
    """An installed package that no proposal needs: how many more it alone brings, where it may be needed
    without an import (groups of its entry points), and of which package's extra it is.
    """

    package: str
    version: str
    brings: int
    entry_points: tuple[str, ...]
    optional_for: tuple[str, ...]


_TOLD = ("airflow.", "apache_airflow_provider", "sqlalchemy.", "fsspec.", "opentelemetry_", "dbt", "pandas.")


def unneeded(now: InstalledNow, proposed: Iterable[ProposedEnvironment]) -> tuple[UnneededPackage, ...]:
    """What is installed and in no proposal: those that no other such package needs."""
    used = {package for one in proposed for package in one.packages}
    left = [one for one in now.distributions if one.name not in used and one.name not in AIRFLOW_ITSELF]
    needs = dependencies([one.package for one in left], now.marker_environment)
    by_name = {one.name: one for one in left}
    users = [one.package for one in now.distributions if one.name in used - AIRFLOW_ITSELF]
    optional = _optional(users, by_name.keys())
    found = []
    for name in top_level(needs):
        one = by_name[name]
        brings = closure([item.package for item in left], [name], now.marker_environment)
        groups = tuple(group for group in one.entry_points if group.startswith(_TOLD))
        found.append(
            UnneededPackage(name, one.package.version, len(brings) - 1, groups, tuple(optional.get(name, ())))
        )
    return tuple(found)


def _optional(users: Iterable[Package], names: Collection[str]) -> dict[str, list[str]]:
    """The extras of needed packages that would bring in what nobody imports: 'pandas[parquet]'."""
    found: dict[str, list[str]] = {}
    for one in users:
        for line in one.requires:
            extra = _EXTRA.search(line)
            if extra is None or extra[1] in _FOR_ITSELF:
                continue
            try:
                name = canonicalize_name(parse_requirement(line).name)
            except InvalidRequirement:
                continue
            if name in names:
                found.setdefault(name, []).append(f"{one.name}[{extra[1]}]")
    return {name: sorted(set(extras)) for name, extras in found.items()}


_EXTRA = re.compile("""extra *== *['"]([^'"]+)['"]""")
_FOR_ITSELF = frozenset({"all", "dev", "test", "tests", "testing", "doc", "docs", "lint"})
"""Extras for whoever works on a package, or that say nothing."""
