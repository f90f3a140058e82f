"""Edit the `dependencies` of a spec's text, or those of its `[dev]`, comments and layout kept (tomlkit)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from tomlkit import TOMLDocument
from tomlkit.items import Array

from envman.errors import Problem, UsageError
from envman.names import nearest
from envman.spec.requirement_text import parse_requirement


def add_dependencies(text: str, file: str, requirements: Sequence[str], dev: bool = False) -> str:
    """Put requirements into a spec, or with `dev` into its `[dev]`; one for the same package with the same
    marker is replaced.

    Raises UsageError for text that is no requirement (PEP 508).
    """
    document = tomlkit.parse(text)
    if dev and "dev" not in document:
        if text.strip():
            document.add(tomlkit.nl())
        document.add("dev", tomlkit.table())
    table: Any = document["dev"] if dev else document
    if "dependencies" not in table:
        table.add("dependencies", tomlkit.array())
    array = table["dependencies"]
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


def remove_dependencies(
    text: str, file: str, packages: Sequence[str], dev: bool = False
) -> tuple[str, tuple[str, ...]]:
    """Take packages out of a spec's own list, or with `dev` out of that of its `[dev]`; returns the text and
    the lines taken out.

    Raises UsageError for a package that is not in it.
    """
    document = tomlkit.parse(text)
    array, other = _listed(document, dev), _names(_listed(document, not dev))
    names = _names(array)
    unknown = [package for package in packages if canonicalize_name(package) not in names]
    if unknown:
        where = f"{file}: {'dev.' if dev else ''}dependencies"
        raise UsageError(
            Problem(where, f"'{name}' is not in the list", _remedy(name, names, other, dev))
            for name in unknown
        )
    wanted = {canonicalize_name(package) for package in packages}
    removed: list[str] = []
    for index in reversed(range(len(array))):
        if names[index] in wanted:
            removed.insert(0, str(array[index]))
            del array[index]
    return tomlkit.dumps(document), tuple(removed)


def _listed(document: TOMLDocument, dev: bool) -> Any:
    """The list of requirements, an empty one where there is none."""
    table: Any = document.get("dev", {}) if dev else document
    return table.get("dependencies", tomlkit.array())


def _names(array: Any) -> list[str]:
    return [canonicalize_name(Requirement(str(line)).name) for line in array]


def _remedy(name: str, names: Sequence[str], other: Sequence[str], dev: bool) -> str:
    """What to do about a package that is not in the list; it may be in the spec's other one."""
    if canonicalize_name(name) in other:
        where, how = ("dependencies", "leave --dev out") if dev else ("[dev]", "pass --dev")
        return f"It is in {where}: {how}."
    return f"It may come from an extended spec, a file or another package. {nearest(name, set(names))}"
