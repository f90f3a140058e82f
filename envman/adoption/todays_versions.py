"""Today's versions as requirements of a spec whose lock has exactly these, and what is in the way. Pure.

Each distribution is pinned. Where one's metadata contradicts what is installed, an override says that today's
set counts: for another version, that version; for one that is not there, that it stays away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from envman.adoption.found_airflow import FoundDistribution, FoundPython
from envman.spec.requirement_text import LONGEST, parse_requirement

NEVER = "python_version < '0'"
"""The marker of a requirement that no Python ever has."""

_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz", ".tar.xz")


@dataclass(frozen=True)
class LeftOut:
    """A distribution that no index gives, and so no lock: where it is from, and what to do."""

    name: str
    version: str
    origin: str
    remedy: str


@dataclass(frozen=True)
class Doubt:
    """A distribution that is pinned, and that the index may not have in this version."""

    name: str
    version: str
    why: str


@dataclass(frozen=True)
class Contradiction:
    """What a distribution asks for in vain, today: `installed` is empty where it is missing, or left out."""

    package: str
    requirement: str
    installed: str
    is_left_out: bool = False

    def words(self) -> str:
        """The same as a sentence without its end."""
        there = f"{self.installed} is installed" if self.installed else "it is not installed"
        return (
            f"{self.package} asks for {self.requirement}: {'it is left out' if self.is_left_out else there}"
        )


@dataclass(frozen=True)
class TodaysVersions:
    """The requirements and overrides that give today's set, and what was found on the way."""

    pins: tuple[str, ...]
    overrides: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    doubts: tuple[Doubt, ...]
    contradictions: tuple[Contradiction, ...]
    wrong_python: tuple[str, ...]


def todays_versions(installed: Mapping[str, FoundDistribution], python: FoundPython) -> TodaysVersions:
    """The requirements for what is installed, by normalized name."""
    away = [one for name, there in installed.items() if (one := _left_out(name, there))]
    names = {one.name for one in away}
    pinned = {name: one for name, one in sorted(installed.items()) if name not in names}
    found = [
        replace(one, is_left_out=_name(one.requirement) in names)
        for one in sorted(
            set(_contradictions(pinned, python)), key=lambda one: (one.package, one.requirement)
        )
    ]
    overrides = {_name(one.requirement): one.installed for one in found}
    left_out = [
        replace(one, remedy=f"{one.remedy}. Take its override out then") if one.name in overrides else one
        for one in away
    ]
    return TodaysVersions(
        pins=tuple(f"{name}=={one.version}" for name, one in pinned.items()),
        overrides=tuple(
            f"{name}=={version}" if version else f"{name} ; {NEVER}"
            for name, version in sorted(overrides.items())
        ),
        left_out=tuple(sorted(left_out, key=lambda one: one.name)),
        doubts=tuple(doubt for name, one in pinned.items() if (doubt := _doubt(name, one))),
        contradictions=tuple(found),
        wrong_python=tuple(
            f"{name} {one.version} asks for Python {one.requires_python}"
            for name, one in pinned.items()
            if not _admits(one.requires_python, python.version)
        ),
    )


def _left_out(name: str, one: FoundDistribution) -> LeftOut | None:
    pin = f"{name}=={one.version}"
    if len(one.version) > LONGEST or not _is_version(one.version):
        what = f"its version '{one.version[:60]}' is none (PEP 440)"
        return LeftOut(name, one.version[:60], what, "Install a version that is one, and adopt again.")
    if one.editable:
        origin = f"editable, {one.origin or one.folder}"
        return LeftOut(name, one.version, origin, _remedy(pin, one.origin))
    if one.origin and one.installer != "conda":  # whose packages all name the folder they were made in
        commit = f" at {one.commit}" if one.commit else ""
        return LeftOut(name, one.version, f"{one.origin}{commit}", _remedy(pin, one.origin))
    return None


def _remedy(pin: str, origin: str) -> str:
    """How a lock gets what no index has: as code of one's own, or from one's own index."""
    served = f"erve a wheel of it from your index, and add to the dependencies: {pin}"
    if origin.lower().partition("#")[0].endswith(_ARCHIVES):
        return f"S{served}"
    source = f'sources = ["../libs/{pin.partition("==")[0]}"]'
    return f"Put its source into the project, and write into the spec: {source}; or s{served}"


def _doubt(name: str, one: FoundDistribution) -> Doubt | None:
    if local := Version(one.version).local:
        why = f"'+{local}' is a version of one index: name that index in uv.toml"
        return Doubt(name, one.version, why)
    if one.installer == "conda" or not one.has_record:
        who = "conda" if one.installer == "conda" else "the operating system, or by hand"
        return Doubt(name, one.version, f"it was installed by {who}: the index may not have this version")
    return None


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _admits(specifier: str, version: str) -> bool:
    try:
        return not specifier or SpecifierSet(specifier[:LONGEST]).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def _contradictions(pinned: Mapping[str, FoundDistribution], python: FoundPython) -> Iterator[Contradiction]:
    """What distributions ask for in vain, extras of what they ask for among it."""
    parsed = {name: [*_requirements(one.requires)] for name, one in pinned.items()}
    waiting = [(name, "") for name in pinned]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for requirement in parsed[name]:
            here = _applies(requirement, {**python.markers, "extra": extra})
            if not here and not _applies_elsewhere(requirement, python, extra):
                continue
            target = canonicalize_name(requirement.name)
            installed = pinned.get(target)
            if installed is None:
                if here:
                    yield Contradiction(name, str(requirement), "")
                continue
            if requirement.url or not requirement.specifier.contains(installed.version, prereleases=True):
                yield Contradiction(name, str(requirement), installed.version)
            further = {(target, one) for one in requirement.extras if here} - seen
            waiting += further
            seen |= further


def _requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        try:
            yield parse_requirement(line)
        except InvalidRequirement:  # uv takes some that are not quite right; they are for the lock to judge
            continue


def _applies(requirement: Requirement, markers: Mapping[str, str]) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate(dict(markers))
    except ValueError:  # what it compares with is no version, or not known
        return True


def _applies_elsewhere(requirement: Requirement, python: FoundPython, extra: str) -> bool:
    """Whether it applies to another Python that the lock is for: it holds for a whole minor version."""
    pypy = {"platform_python_implementation": "PyPy", "implementation_name": "pypy"}
    later = {"python_full_version": f"{python.markers.get('python_version', '')}.99"}
    return any(_applies(requirement, {**python.markers, **other, "extra": extra}) for other in (pypy, later))


def _name(requirement: str) -> str:
    try:
        return canonicalize_name(Requirement(requirement).name)
    except (InvalidRequirement, InvalidName):  # it was parsed before
        return ""


@dataclass(frozen=True)
class VersionDifference:
    """A package whose version in the environment is not today's: empty where it is not there."""

    package: str
    today: str
    locked: str
    why: str


def expected_differences(left_out: Iterable[LeftOut]) -> tuple[VersionDifference, ...]:
    """What the environment will lack, as far as that is known before it is locked."""
    return tuple(VersionDifference(one.name, one.version, "", one.origin) for one in left_out)


def differences(
    pins: Iterable[str], left_out: Sequence[LeftOut], locked: Mapping[str, str]
) -> tuple[VersionDifference, ...]:
    """What differs between today's set and the packages of a lock that apply here."""
    today = dict(pin.split("==", 1) for pin in pins)
    found = [*expected_differences(left_out)]
    for name in sorted(today.keys() | locked.keys()):
        then, now = today.get(name, ""), locked.get(name, "")
        if not _is_same(then, now):
            found.append(VersionDifference(name, then, now, "" if then else "is not in today's set"))
    return tuple(found)


def _is_same(one: str, other: str) -> bool:
    return bool(one and other) and Version(one) == Version(other)
