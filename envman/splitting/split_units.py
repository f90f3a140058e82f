"""Which parts of bundles may get an environment: a bundle, a folder of one, or what belongs to a team."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from envman.names import MAX_LENGTH, name_problem
from envman.splitting.codeowners import team_name
from envman.splitting.read_code import BundleCode

UNOWNED = "unowned"
"""The name of what nobody owns."""

OwnerOf = Callable[[str, str], str]
"""Whose a bundle's file is: bundle and path; '' for nobody's."""


class SplitBy(str, Enum):
    """What gets an environment of its own."""

    folder = "folder"
    team = "team"
    bundle = "bundle"


@dataclass(frozen=True)
class SplitUnit:
    """A bundle (`folder` is empty), or what is in one of its folders, and the Dag files in it."""

    bundle: str
    folder: str
    dags: tuple[str, ...]

    def words(self) -> str:
        """As people are told, in one line: 'dags/sales'. A folder may have any name."""
        words = f"{self.bundle}/{self.folder}" if self.folder else self.bundle
        return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in words)


@dataclass(frozen=True)
class MixedFolder:
    """A folder with Dag files of several teams: it is in one bundle, and so in one environment."""

    bundle: str
    folder: str
    teams: tuple[str, ...]
    given_to: str


def split_units(
    code: Iterable[BundleCode], by: SplitBy, owner: OwnerOf, prefix: str = ""
) -> tuple[dict[str, list[SplitUnit]], list[MixedFolder]]:
    """The units that each environment is for, by its name, and the folders that are several teams'.

    `prefix` begins the names.
    """
    found: dict[str, list[SplitUnit]] = {}
    mixed: list[MixedFolder] = []
    units = [unit for one in code for unit in _units(one, by, owner)]
    for unit in units:
        name = unit.folder or unit.bundle
        if by is SplitBy.folder and [one.folder or one.bundle for one in units].count(name) > 1:
            name = f"{unit.bundle}-{unit.folder}".strip("-")
        if by is SplitBy.team:
            teams = _teams(unit, owner)
            name = min(teams, key=lambda team: (-teams[team], team))
            if len(teams) > 1:
                mixed.append(MixedFolder(unit.bundle, unit.folder, tuple(sorted(teams)), name))
        found.setdefault(name, []).append(unit)
    named: dict[str, list[SplitUnit]] = {}
    for name, parts in sorted(found.items()):
        named[free_name(f"{prefix}{name}", named)] = parts
    return named, mixed


def _units(code: BundleCode, by: SplitBy, owner: OwnerOf) -> Iterator[SplitUnit]:
    dags = tuple(code.dags())
    folders: dict[str, list[str]] = {}
    for path in dags:
        folders.setdefault(top_folder(path), []).append(path)
    whole = SplitUnit(code.bundle, "", dags)
    if not dags:
        return
    if by is SplitBy.bundle or len(folders) == 1 or (by is SplitBy.team and len(_teams(whole, owner)) == 1):
        yield whole
    else:
        yield from (SplitUnit(code.bundle, folder, tuple(paths)) for folder, paths in sorted(folders.items()))


def top_folder(path: str) -> str:
    """The folder at a bundle's top that a file is in; '' for one at the top itself, also in an archive."""
    top, slash, _ = path.partition("/")
    return top if slash and not top.endswith(".zip") else ""


def _teams(unit: SplitUnit, owner: OwnerOf) -> Counter[str]:
    owners = (owner(unit.bundle, path) for path in unit.dags)
    return Counter(team_name(one) if one else UNOWNED for one in owners)


def free_name(text: str, taken: Container[str]) -> str:
    """An `environment_name` that is free, with a number if need be: folders differ in more than it keeps."""
    name, number = environment_name(text), 1
    while name in taken:
        number += 1
        name = environment_name(f"{environment_name(text)[: MAX_LENGTH - 5]}-{number}")
    return name


def environment_name(text: str) -> str:
    """A name that an environment may have, as near to a folder's or a team's as can be."""
    name = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "-", text).strip(".-")[:MAX_LENGTH].strip(".-")
    return name if name and not name_problem(name) else f"env-{name}".strip("-")[:MAX_LENGTH]
