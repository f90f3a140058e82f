"""Code of one's own (`sources` of a spec): which folders there are, what each is, what uv's workspaces add.

A member of a uv workspace that takes another one from the workspace (`tool.uv.sources`) gets it here, too:
its wheel says only the other's name, which an index may have as well. Reading is handed in.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from packaging.requirements import InvalidRequirement
from packaging.utils import InvalidName, canonicalize_name

from envman.errors import Problem
from envman.names import nearest
from envman.spec.model import SourceFolder
from envman.spec.parse import parse_toml
from envman.spec.requirement_text import parse_requirement

PYPROJECT, SETUP = "pyproject.toml", "setup.py"
IGNORES = ".gitignore"
"""What says, in a folder or above it, which files Git ignores."""

MOST_SOURCES = 500
"""Sources of one environment, and members of one workspace."""


class SourceKind(str, Enum):
    """What a folder with code is."""

    PROJECT = "project"
    """What builds it is said by its pyproject.toml, or is setuptools."""
    MODULES = "modules"
    """Modules and packages, and nothing that says how to build them."""


@dataclass(frozen=True)
class OwnSource:
    """A folder with code; its path is relative to the project.

    `name` (normalized) and `version` are empty where they are not stated: a build tells them.
    """

    path: str
    kind: SourceKind
    name: str = ""
    version: str = ""
    extras: tuple[str, ...] = ()


class Folders(Protocol):
    """The files of a project, by paths relative to it; what can't be read is an OSError."""

    def read(self, path: str) -> str:
        """The text of a file."""

    def names(self, path: str) -> list[str]:
        """The names in a folder."""


def own_sources(
    declared: Iterable[SourceFolder], folders: Folders
) -> tuple[tuple[OwnSource, ...], list[Problem]]:
    """The folders that a spec names, and those that uv's workspaces add; sorted by path."""
    reading = _Reading(folders)
    for source in declared:
        reading.add(source)
    for path in reading.members():
        if len(reading.found) > MOST_SOURCES:
            reading.problems.append(Problem("sources", f"there are more than {MOST_SOURCES}", "Join some."))
            break
        reading.add(SourceFolder(path=path), " (tool.uv.sources)")
    found = sorted(reading.found.values(), key=lambda one: one.path)
    return tuple(found), [*reading.problems, *_twice(found)]


def twice_problem(name: str, paths: Iterable[str]) -> Problem:
    """The problem of two folders that give packages of one name."""
    listed = " and ".join(sorted(paths))
    return Problem("sources", f"{listed} are both named '{name}'", "Rename one, or take it out.")


def _twice(found: Iterable[OwnSource]) -> Iterator[Problem]:
    by_name: dict[str, list[str]] = {}
    for source in found:
        if source.name:
            by_name.setdefault(source.name, []).append(source.path)
    yield from (twice_problem(name, paths) for name, paths in by_name.items() if len(paths) > 1)


class _Reading:
    """What was read so far; `wanted` are folders that uv's tables name, in their order."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self.found: dict[str, OwnSource] = {}
        self.problems: list[Problem] = []
        self._wanted: list[str] = []
        self._tables: dict[str, dict[str, Any] | None] = {}

    def members(self) -> Iterator[str]:
        """The folders that are wanted and not read yet, also those that the reading of one adds."""
        while self._wanted:
            path = self._wanted.pop(0)
            if path not in self.found:
                yield path

    def add(self, declared: SourceFolder, by: str = "") -> None:
        """Read one folder; whatever is wrong with it becomes a problem. `by` is who named it."""
        path = declared.path
        known = self.found.get(path)
        stated = OwnSource(
            path, SourceKind.MODULES, declared.name or "", declared.version or "", declared.extras
        )
        if known:
            self.found[path] = replace(known, extras=tuple(dict.fromkeys((*known.extras, *stated.extras))))
            return
        names = self._names(path, by)
        if names is None:
            return
        table = self._table(path)
        if table is None and PYPROJECT in names:
            return  # its problem is told
        project, tool = _at(table, "project"), _at(table, "tool")
        if not (project or _at(table, "build-system") or SETUP in names):
            if _at(tool, "uv", "workspace"):
                what = "is the root of a uv workspace, and no package"
                self.problems.append(Problem(path, what, "Name the members that the environment needs."))
                return
            self._add_modules(stated)
            return
        if _at(tool, "uv").get("package") is False:
            what = "says that it is no package: tool.uv.package = false"
            self.problems.append(Problem(f"{path}/{PYPROJECT}", what, "Take that out, or take `pyprojects`."))
            return
        self._add_project(stated, project)
        self._follow_uv(path, table or {})

    def _add_modules(self, stated: OwnSource) -> None:
        """Modules and packages without anything that says how to build them."""
        name = stated.name or posixpath.basename(stated.path)
        try:
            self.found[stated.path] = replace(stated, name=canonicalize_name(name, validate=True))
        except InvalidName:
            what = "its folder has no name that a package may have"
            remedy = 'Give it one: sources = [{ path = "…", name = "…" }]'
            self.problems.append(Problem(stated.path, what, remedy))
        if stated.extras:
            self.problems.append(Problem(stated.path, "plain modules have no extras", "Take them out."))

    def _add_project(self, stated: OwnSource, project: Mapping[str, Any]) -> None:
        says, name = project.get("name"), ""
        try:
            name = canonicalize_name(says, validate=True) if isinstance(says, str) else ""
        except InvalidName:  # it would stand in files that uv reads
            where = f"{stated.path}/{PYPROJECT}: project.name"
            self.problems.append(Problem(where, f"{says!r} is no name of a package", "Correct it."))
        if name and stated.name not in {"", name}:
            what, remedy = f"its own name is '{name}', not '{stated.name}'", "Take `name` out of the spec."
            self.problems.append(Problem(stated.path, what, remedy))
        extras = tuple(canonicalize_name(extra) for extra in stated.extras)
        known = {canonicalize_name(one) for one in _at(project, "optional-dependencies")}
        if "optional-dependencies" not in _listed(project.get("dynamic")) and name:
            for extra in extras:
                if extra not in known:
                    where = f"{stated.path}/{PYPROJECT}: project.optional-dependencies.{extra}"
                    self.problems.append(Problem(where, "there is no such extra", nearest(extra, known)))
        self.found[stated.path] = replace(
            stated, kind=SourceKind.PROJECT, name=name or stated.name, extras=extras
        )

    def _names(self, path: str, by: str) -> list[str] | None:
        inner = posixpath.normpath(path)
        if inner.startswith(("/", "../")) or inner == "..":
            remedy = "Keep it below the folder of envman.toml."
            self.problems.append(Problem(path, f"is outside of the project's folder{by}", remedy))
            return None
        try:
            return self._folders.names(path)
        except FileNotFoundError:
            what, remedy = f"there is no such folder{by}", "Correct the path, or add the folder."
        except NotADirectoryError:
            what, remedy = (
                f"is no folder{by}",
                "A wheel or an archive is served from an index or --find-links.",
            )
        except OSError as error:
            what = f"can't be read: {error.strerror}{by}"
            remedy = "Make it a folder that this user may read; no link to it leads out of the project."
        self.problems.append(Problem(path, what, remedy))
        return None

    def _table(self, path: str) -> dict[str, Any] | None:
        """The pyproject.toml of a folder; None where there is none that can be read."""
        if path not in self._tables:
            self._tables[path] = None
            file = posixpath.normpath(f"{path}/{PYPROJECT}")
            try:
                text = self._folders.read(file)
            except FileNotFoundError:
                return None
            except (OSError, UnicodeDecodeError) as error:
                why = (isinstance(error, OSError) and error.strerror) or error
                self.problems.append(Problem(file, f"can't be read: {why}", "Make it a UTF-8 text file."))
                return None
            data, problems = parse_toml(text, file)
            self.problems += problems
            self._tables[path] = None if problems else data
        return self._tables[path]

    def _follow_uv(self, path: str, table: dict[str, Any]) -> None:
        """Want the folders that uv would take what a project needs from; what is neither is a problem."""
        root, workspace = self._workspace(path)
        own = _at(table, "tool", "uv", "sources")
        of_root = _at(workspace, "tool", "uv", "sources")
        entries = {canonicalize_name(name): entry for name, entry in {**of_root, **own}.items()}
        at = {canonicalize_name(name): path if name in own else root for name in {**of_root, **own}}
        needed = _needed(_at(table, "project"))
        for name, entry in entries.items():
            if needed is not None and name not in needed:
                continue
            for one in entry if isinstance(entry, list) else [entry]:
                where = f"{path}/{PYPROJECT}: tool.uv.sources.{name}"
                self._want(where, name, one if isinstance(one, dict) else {}, (at[name], root))

    def _want(self, where: str, name: str, entry: Mapping[str, Any], folders: tuple[str, str]) -> None:
        """Want what one entry names; `folders` are that of the file with the entry, and the workspace's."""
        if entry.get("workspace") is True:
            members = self._members(folders[1])
            if name in members:
                self._wanted.append(members[name])
            else:
                what = f"'{name}' is no member of a uv workspace in the project"
                self.problems.append(Problem(where, what, nearest(name, members)))
        elif isinstance(entry.get("path"), str):
            self._wanted.append(posixpath.normpath(posixpath.join(folders[0], entry["path"])))
        else:
            kind = next((key for key in ("git", "url", "index") if key in entry), "something else")
            what = f"takes '{name}' from {kind}, and a lock holds no address"
            remedy = (
                "Serve it from an index of uv.toml, or make its folder a source; then take the entry out."
            )
            self.problems.append(Problem(where, what, remedy))

    def _workspace(self, path: str) -> tuple[str, dict[str, Any]]:
        """The root of the uv workspace that a folder is in, and its pyproject.toml; the project's folder and
        nothing where there is none.
        """
        at = path
        while True:
            table = self._table(at) or {}
            if _at(table, "tool", "uv", "workspace"):
                return at, table
            if at in {".", ""}:
                return ".", {}
            at = posixpath.dirname(at) or "."

    def _members(self, root: str) -> dict[str, str]:
        """The folders of a workspace's members, by their packages' names."""
        workspace = _at(self._table(root), "tool", "uv", "workspace")
        if not workspace:
            return {}
        left_out = [
            posixpath.normpath(posixpath.join(root, one)) for one in _listed(workspace.get("exclude"))
        ]
        paths = [root]
        for pattern in _listed(workspace.get("members")):
            paths += self._matching(posixpath.normpath(posixpath.join(root, pattern)))
        found: dict[str, str] = {}
        for path in dict.fromkeys(paths[:MOST_SOURCES]):
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in left_out):
                continue
            name = _at(self._table(path), "project").get("name")
            if isinstance(name, str):
                found.setdefault(canonicalize_name(name), path)
        return found

    def _matching(self, pattern: str) -> list[str]:
        """The folders that a pattern such as 'packages/*' matches."""
        if "**" in pattern:
            what = f"the pattern '{pattern}' of its members is not understood"
            self.problems.append(Problem("tool.uv.workspace", what, "Write one '*' for each folder."))
            return []
        paths = [""]
        for part in pattern.split("/"):
            if not any(sign in part for sign in "*?["):
                paths = [posixpath.join(path, part) for path in paths]
                continue
            further = []
            for path in paths:
                try:
                    names = self._folders.names(path or ".")
                except OSError:
                    continue
                further += [posixpath.join(path, name) for name in fnmatch.filter(names, part)]
            paths = [path for path in further if not posixpath.basename(path).startswith(".")]
        return sorted(paths)[:MOST_SOURCES]


def _needed(project: Mapping[str, Any]) -> frozenset[str] | None:
    """The packages that a project asks for, with all its extras; None where only its build tells."""
    dynamic = _listed(project.get("dynamic"))
    if not project or {"dependencies", "optional-dependencies"} & set(dynamic):
        return None
    lines = [*_listed(project.get("dependencies"))]
    for extra in _at(project, "optional-dependencies").values():
        lines += _listed(extra)
    found = set()
    for line in lines:
        try:
            found.add(canonicalize_name(parse_requirement(line).name))
        except InvalidRequirement:  # its build says so
            continue
    return frozenset(found)


def _at(table: Mapping[str, Any] | None, *keys: str) -> dict[str, Any]:
    """A table within a file that is not ours; where it is something else it counts as absent."""
    value: object = table
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
