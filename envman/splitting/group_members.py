"""The files whose requirements are grouped: requirements files, pyproject.toml, scripts (PEP 723)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from envman.errors import Problem, SpecError, UsageError
from envman.spec.inputs import ConstraintSet, Inputs
from envman.spec.load import ProjectFiles
from envman.spec.model import PyprojectSource
from envman.spec.parse import parse_toml
from envman.spec.requirement_text import parse_requirement
from envman.spec.sources import Flattened, Read, flatten_pyproject, flatten_requirements_file, flatten_script

REQUIREMENT, CONSTRAINT, PYTHON = "requirement", "constraint", "requires-python"
_KINDS = (REQUIREMENT, CONSTRAINT, PYTHON)
_MINOR = re.compile(r"3\.[0-9]{1,3}")
_PATCH = re.compile(r"3\.([0-9]{1,3})\.[0-9]{1,3}")


@dataclass(frozen=True, order=True)
class AskedLine:
    """One thing that a file asks for: a requirement, a constraint, or the Pythons that it runs on."""

    kind: str
    text: str

    def words(self) -> str:
        """As people are told."""
        return self.text if self.kind == REQUIREMENT else f"{self.kind} {self.text}"


@dataclass(frozen=True)
class GroupMember:
    """A file by the name that it was given by, and what it asks for."""

    file: str
    lines: tuple[AskedLine, ...]


def read_members(files: Iterable[Path], project: Path | None) -> list[GroupMember]:
    """Read the files with all that they include; raises SpecError with all problems of all files.

    A file includes others of its project, else of the current folder, else of its own, and none beyond.
    """
    members, problems = [], []
    for file in files:
        whole = file.absolute()
        above = [one for one in (project, Path.cwd()) if one and whole.is_relative_to(one)]
        folder = above[0] if above else whole.parent
        path = whole.relative_to(folder).as_posix()
        found, python = _flattened(path, ProjectFiles(folder).read)
        lines = [AskedLine(REQUIREMENT, text) for text in found.requirements]
        lines += [AskedLine(CONSTRAINT, text) for text in found.constraints]
        if python:
            try:
                lines.append(AskedLine(PYTHON, str(SpecifierSet(python))))
            except InvalidSpecifier:
                what = "is not a version specifier (PEP 440)"
                found.problems.append(Problem(f"{path}: {PYTHON}", what, "Write one such as '>=3.11'."))
        problems += found.problems
        members.append(GroupMember(str(file), tuple(dict.fromkeys(lines))))
    if problems:
        raise SpecError(dict.fromkeys(problems))
    return members


def _flattened(path: str, read: Read) -> tuple[Flattened, str]:
    if path.endswith(".py"):
        return flatten_script(path, read)
    if not path.endswith(".toml"):
        return flatten_requirements_file(path, read), ""
    found = flatten_pyproject(PyprojectSource(path=path), read)
    if found.problems:
        return found, ""
    project = parse_toml(read(path), path)[0].get("project", {})
    return found, str(project.get(PYTHON, ""))


def python_range(text: str) -> str:
    """The Pythons that are meant by '3.12' (all of it), '3.12.4' (that and later ones of 3.12).

    Raises UsageError.
    """
    if _MINOR.fullmatch(text):
        return f"=={text}.*"
    if match := _PATCH.fullmatch(text):
        return f">={text},<3.{int(match[1]) + 1}"
    raise UsageError(Problem("--python", f"'{text}' is no version", "Write one such as 3.12, or 3.12.4."))


def inputs_of(
    lines: Iterable[AskedLine], python: str, platforms: tuple[str, ...], airflow: str | None
) -> Inputs | None:
    """What lines ask for together, as a lock has it; None where they rule each other's Pythons out."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for line in dict.fromkeys(lines):
        by_kind[line.kind].append(line.text)
    requires_python = ",".join([python_range(python), *by_kind[PYTHON]])
    minor = ".".join(python.split(".")[:2])
    if not any(True for _ in SpecifierSet(requires_python).filter(f"{minor}.{patch}" for patch in range(40))):
        return None
    return Inputs(
        environment="the group",
        requires_python=requires_python,
        platforms=platforms,
        airflow_version=airflow,
        requirements={"dependencies": tuple(by_kind[REQUIREMENT])},
        constraints=(ConstraintSet("constraints", None, tuple(by_kind[CONSTRAINT])),),
    )


def rule_each_other_out(lines: Iterable[AskedLine]) -> bool:
    """Whether two lines can't both be had, whatever there is on any Python: one pins a version with `==` that
    another refuses. A resolver need not be asked. Lines with a marker don't count.
    """
    pinned: dict[str, set[str]] = {}
    asked: dict[str, list[SpecifierSet]] = {}
    for line in lines:
        if line.kind == PYTHON:
            continue
        requirement = parse_requirement(line.text)
        if requirement.marker is None:
            name = canonicalize_name(requirement.name)
            asked.setdefault(name, []).append(requirement.specifier)
            pinned.setdefault(name, set()).update(
                one.version
                for one in requirement.specifier
                if one.operator == "==" and not one.version.endswith(".*") and "+" not in one.version
            )
    return any(
        not specifier.contains(version, prereleases=True) and "+" not in str(specifier)
        for name, versions in pinned.items()
        for version in versions
        for specifier in asked[name]
    )
