"""A spec for each group of files: files of the project are named, what stands elsewhere is copied."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

import tomlkit

from envman.errors import Problem, UsageError
from envman.spec.merge import ENVIRONMENTS, spec_file
from envman.splitting.group_members import CONSTRAINT, REQUIREMENT, GroupMember, inputs_of
from envman.splitting.split_units import free_name

_MOST_NAMED = 3
_GENERAL = frozenset({"requirements", "pyproject", "base", "dev"})
"""Names of files that say nothing of whose they are."""


def group_names(groups: Sequence[Sequence[str]], prefix: str) -> list[str]:
    """A name for each group, after its files: 'sales-risk'."""
    names: list[str] = []
    for files in groups:
        stems = [_stem(file) for file in files]
        name = "-".join(stems) if len(stems) <= _MOST_NAMED else f"group-{len(names) + 1}"
        names.append(free_name(f"{prefix}{name}", names))
    return names


def _stem(file: str) -> str:
    path = Path(file)
    return path.absolute().parent.name if path.stem in _GENERAL else path.stem


def group_specs(
    project: Path, groups: Sequence[tuple[Sequence[GroupMember], str]], names: Sequence[str]
) -> dict[str, str]:
    """The specs' texts by path; each group with the Python that it gets. Raises UsageError for a constraint
    of a file outside of the project, which a spec can only name.
    """
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for name, (members, python) in zip(names, groups, strict=True):
        lines = [line for member in members for line in member.lines]
        inputs = inputs_of(lines, python, (), None)
        document = tomlkit.document()
        document.add(tomlkit.comment("Written by: envman group --write"))
        document.add("requires-python", inputs.requires_python if inputs else f"=={python}.*")
        dependencies: list[str] = []
        files: list[str] = []
        pyprojects: list[str] = []
        for member in members:
            path = Path(member.file).absolute()
            if path.is_relative_to(project) and path.suffix != ".py":
                inside = posixpath.relpath(path.relative_to(project).as_posix(), ENVIRONMENTS)
                (pyprojects if path.suffix == ".toml" else files).append(inside)
                continue
            dependencies += [line.text for line in member.lines if line.kind == REQUIREMENT]
            if any(line.kind == CONSTRAINT for line in member.lines):
                what = "has constraints, and is outside of the project's folder"
                problems.append(Problem(member.file, what, "Copy it into the project first."))
        for key, values in (("dependencies", dependencies), ("requirements-files", files)):
            if values:
                listed = tomlkit.array()
                listed.extend(dict.fromkeys(values))
                document.add(key, listed.multiline(multiline=len(values) > 1))
        if pyprojects:
            listed = tomlkit.array()
            for inside in pyprojects:
                table = tomlkit.inline_table()
                table["path"] = inside
                listed.append(table)
            document.add("pyprojects", listed)
        texts[spec_file(name)] = tomlkit.dumps(document)
    if problems:
        raise UsageError(problems)
    return texts
