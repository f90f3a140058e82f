"""The proposal as files: a spec and constraints for each environment, and the changed envman.toml."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.items import AbstractTable

from envman.lock.lockfile import Pin
from envman.spec.merge import ENVIRONMENTS
from envman.splitting.proposal import ProposedEnvironment

_OF_ITS_PACKAGES = ("dependencies", "requirements-files", "pyprojects", "abstract")
"""Keys of a spec that a new environment does not take over."""


def constraints_file(environment: str) -> str:
    """The name of the file with today's versions, which stands beside the spec."""
    return f"{environment}.constraints.txt"


def constraints_text(
    one: ProposedEnvironment, today: str, pins: Iterable[Pin], marker_environment: Mapping[str, str]
) -> str:
    """Today's versions of what an environment needs, and of what is locked for other machines."""
    lines = [
        f"# The versions that {today} had when {one.environment} was split off.",
        "# Without a line its package is free: take it out, then: "
        f"envman lock {one.environment} --upgrade-package PACKAGE",
    ]
    for pin in sorted(pins):
        if pin.name in one.packages or not pin.applies(marker_environment):
            lines.append(f"{pin.name}=={pin.version}{pin.marker and f' ; {pin.marker}'}")
    return "".join(f"{line}\n" for line in lines)


def spec_text(
    one: ProposedEnvironment,
    today: str,
    old: Mapping[str, Any],
    keeps: Callable[[str], bool],
    sources: Mapping[str, str],
) -> str:
    """The spec of a new environment: all that today's says, but for its packages.

    `keeps` says whether a module that is checked or preloaded is in the new one, too. `sources` are the names
    of packages of one's own, by their folders: those that are needed stay sources, and are not pinned.
    """
    units = ", ".join(unit.words() for unit in one.units)
    document = tomlkit.document()
    document.add(tomlkit.comment(f"What {units} needs, at the versions that {today} had."))
    document.add(tomlkit.comment(f"Written by: envman adopt split {today}"))
    document.add(tomlkit.nl())
    taken = {key: copy.deepcopy(value) for key, value in old.items() if key not in _OF_ITS_PACKAGES}
    checks = taken.get("checks", {})
    for table, key in ((taken, "preload"), (checks, "imports")):
        if key in table:
            table[key] = [module for module in table[key] if keeps(module)]
    if "sources" in taken:
        left = {folder for folder, name in sources.items() if name not in one.packages}
        needed = [entry for entry in taken.pop("sources") if _source(entry) not in left]
        taken |= {"sources": needed} if needed else {}
    listed = tomlkit.array()
    own = set(sources.values())
    listed.extend([entry.requirement() for entry in one.imported if entry.package not in own])
    taken["dependencies"] = listed.multiline(multiline=len(listed) > 1)
    taken["constraints"] = [*taken.get("constraints", []), constraints_file(one.environment)]
    for key, value in sorted(taken.items(), key=lambda item: isinstance(item[1], dict)):  # tables last
        document.add(key, value)
    return tomlkit.dumps(document)


def _source(entry: Any) -> str:
    """The folder of a source, relative to the project."""
    path = entry if isinstance(entry, str) else entry["path"]
    return posixpath.normpath(posixpath.join(ENVIRONMENTS, path))


@dataclass(frozen=True)
class BundleChange:
    """What becomes of a bundle: its environment; for a new one a `path`, `shared` folders, and `like`, the
    bundle that it is a folder of, whose team, queue and shared folders it has, too. Without an environment it
    goes, as all its folders are bundles of their own.
    """

    bundle: str
    environment: str | None
    path: str | None = None
    like: str = ""
    shared: tuple[str, ...] = ()


def project_text(text: str, changes: Iterable[BundleChange]) -> str:
    """An envman.toml with changed bundles, comments and layout kept."""
    document = tomlkit.parse(text)
    if "bundles" not in document:
        document.add("bundles", tomlkit.table())
    bundles = document["bundles"]
    if not isinstance(bundles, AbstractTable):  # it was checked before
        raise TypeError("bundles")
    changes = list(changes)
    old = {name: dict(entry) for name, entry in bundles.unwrap().items()}
    for change in changes:
        if change.environment is None:
            bundles.pop(change.bundle, None)
            continue
        if change.bundle in bundles:
            bundles[change.bundle]["environment"] = change.environment
            continue
        entry = tomlkit.inline_table()
        if change.path is not None:
            entry["path"] = change.path
        names = {posixpath.basename(place) for place in change.shared}  # which come first, as in a bundle
        above = [posixpath.normpath(f"../{place}") for place in old.get(change.like, {}).get("shared", ())]
        above = [place for place in above if posixpath.basename(place) not in names]
        if shared := [*change.shared, *above]:
            entry["shared"] = shared
        entry["environment"] = change.environment
        entry.update(
            {key: old[change.like][key] for key in ("team", "queue") if key in old.get(change.like, {})}
        )
        bundles[change.bundle] = entry
    return tomlkit.dumps(document)
