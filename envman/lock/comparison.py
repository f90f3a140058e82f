"""The locks of two revisions of a project, compared: environments, packages, inputs. Values alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from envman.lock.changes import PackageChange, package_changes
from envman.lock.lockfile import Lock, Pin, versions
from envman.spec.inputs import changed_inputs

ALIKE = 0.5
"""Which part of two locks' packages has to be the same for one to be the other under a new name."""


class EnvironmentStatus(str, Enum):
    """What became of an environment between two revisions."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    UNREADABLE = "unreadable"
    """The older lock can't be read, so nobody can say what changed."""


@dataclass(frozen=True)
class EnvironmentChange:
    """An environment in two revisions. `before` is its name in the older one, empty where it is new; of one
    that was removed `environment` is the old name. `inputs` says what else decided the lock, and differs.
    """

    environment: str
    before: str
    status: EnvironmentStatus
    old: tuple[Pin, ...]
    new: tuple[Pin, ...]
    packages: tuple[PackageChange, ...] = ()
    inputs: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    """Packages of the same version whose files have other hashes than before."""


def compare_locks(
    old: Mapping[str, Lock], new: Mapping[str, Lock], unreadable: Iterable[str] = ()
) -> tuple[EnvironmentChange, ...]:
    """Compare locks by environment, sorted; an environment that has a new name is found by its packages.

    `unreadable` are environments whose older lock is there, and can't be read.
    """
    unread = set(unreadable)
    gone = {name: lock for name, lock in old.items() if name not in new}
    came = {name: lock for name, lock in new.items() if name not in old and name not in unread}
    names = _renamed(gone, came)
    found = []
    for name, lock in new.items():
        before = names.get(name, name if name in old else "")
        if name in unread:
            status = EnvironmentStatus.UNREADABLE
            found.append(EnvironmentChange(name, name, status, (), lock.pins))
        elif before:
            found.append(_compared(name, before, old[before], lock))
        else:
            changes = package_changes({}, versions(lock.pins))
            found.append(EnvironmentChange(name, "", EnvironmentStatus.ADDED, (), lock.pins, changes))
    for name in gone.keys() - set(names.values()):
        changes = package_changes(versions(old[name].pins), {})
        pins = old[name].pins
        found.append(EnvironmentChange(name, name, EnvironmentStatus.REMOVED, pins, (), changes))
    return tuple(sorted(found, key=lambda one: one.environment))


def _compared(name: str, before: str, old: Lock, new: Lock) -> EnvironmentChange:
    packages = package_changes(versions(old.pins), versions(new.pins))
    inputs = tuple(
        f"{label} {change.value}"
        for label, change in (changed_inputs(old.inputs, new.inputs) if old.inputs else ())
    )
    replaced = tuple(_replaced(old.pins, new.pins))
    status = EnvironmentStatus.UNCHANGED
    if name != before:
        status = EnvironmentStatus.RENAMED
    elif packages or inputs or replaced:
        status = EnvironmentStatus.CHANGED
    return EnvironmentChange(name, before, status, old.pins, new.pins, packages, inputs, replaced)


def _replaced(old: Sequence[Pin], new: Sequence[Pin]) -> list[str]:
    """Packages whose version is the same and of whose old files one is missing; files that came are none."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for pin in new:
        hashes.setdefault((pin.name, pin.version), set()).update(pin.hashes)
    return sorted(
        {
            pin.name
            for pin in old
            if (pin.name, pin.version) in hashes and set(pin.hashes) - hashes[pin.name, pin.version]
        }
    )


def _renamed(gone: Mapping[str, Lock], came: Mapping[str, Lock]) -> dict[str, str]:
    """Old names by new ones: of all pairs the most alike first, each name once."""
    pairs = sorted(
        (-_likeness(old.pins, new.pins), after, before)
        for before, old in gone.items()
        for after, new in came.items()
    )
    names: dict[str, str] = {}
    for likeness, after, before in pairs:
        if -likeness >= ALIKE and after not in names and before not in names.values():
            names[after] = before
    return names


def _likeness(old: Sequence[Pin], new: Sequence[Pin]) -> float:
    mine, theirs = {(pin.name, pin.version) for pin in old}, {(pin.name, pin.version) for pin in new}
    return len(mine & theirs) / len(mine | theirs) if mine | theirs else 0.0
