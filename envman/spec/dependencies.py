"""Edit the `dependencies` of a spec's text, comments and layout kept (tomlkit)."""

from __future__ import annotations

from collections.abc import Sequence

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from tomlkit.items import Array

from envman.errors import Problem, UsageError
from envman.names import nearest
from envman.spec.requirement_text import parse_requirement


def add_dependencies(text: str, file: str, requirements: Sequence[str]) -> str:
    """Put requirements into a spec; one for the same package with the same marker is replaced.

    Raises UsageError for text that is no requirement (PEP 508).
    """
    document = tomlkit.parse(text)
    if "dependencies" not in document:
        document.add("dependencies", tomlkit.array())
    array = document["dependencies"]
    if not isinstance(array, Array):  # the spec was checked before
        raise TypeError(file)
    for requirement in requirements:
        _put(array, _parsed(requirement), requirement)
    return tomlkit.dumps(document)


def _parsed(text: str) -> Requirement:
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement as error:
        what = f"is not a requirement (PEP 508): {str(error).splitlines()[0]}"
        raise UsageError(Problem(f"'{text}'", what, "Write: envman add env_a 'polars>=1'")) from None
    if requirement.url is not None:
        what = "is given by URL; a lock holds no URL"
        remedy = (
            "Name a version and serve the file from an index; a folder of the project is one of `sources`."
        )
        raise UsageError(Problem(f"'{text}'", what, remedy))
    return requirement


def _put(array: Array, requirement: Requirement, text: str) -> None:
    key = (canonicalize_name(requirement.name), str(requirement.marker))
    for index, line in enumerate(array):
        present = Requirement(str(line))
        if (canonicalize_name(present.name), str(present.marker)) == key:
            array[index] = text
            return
    if len(array) >= 2 and "\n" not in array.as_string():
        array.multiline(multiline=True)
    array.append(text)


def remove_dependencies(text: str, file: str, packages: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Take packages out of a spec's own list; returns the text and the lines taken out.

    Raises UsageError for a package that is not in it.
    """
    document = tomlkit.parse(text)
    array = document.get("dependencies", tomlkit.array())
    names = [canonicalize_name(Requirement(str(line)).name) for line in array]
    unknown = [package for package in packages if canonicalize_name(package) not in names]
    if unknown:
        where, remedy = (
            f"{file}: dependencies",
            "It may come from an extended spec, a file or another package.",
        )
        raise UsageError(
            Problem(where, f"'{name}' is not in the list", f"{remedy} {nearest(name, set(names))}")
            for name in unknown
        )
    wanted = {canonicalize_name(package) for package in packages}
    removed: list[str] = []
    for index in reversed(range(len(array))):
        if names[index] in wanted:
            removed.insert(0, str(array[index]))
            del array[index]
    return tomlkit.dumps(document), tuple(removed)
