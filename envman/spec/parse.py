"""TOML text to the model; what does not fit becomes problems with file, dotted path and remedy."""

from __future__ import annotations

import re
import sys
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from envman.errors import Problem
from envman.names import nearest
from envman.spec.model import EnvironmentSpec, ProjectSpec
from envman.spec.values import WrongValueError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ModelT = TypeVar("ModelT", bound=BaseModel)

LARGEST = 2**20
"""Characters of a TOML file; the largest of a team's pyproject.toml have some tens of thousands."""

_PART = r"""[ \t]*(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_DEEP_KEY = re.compile(rf"\.{_PART}(?:[ \t]*\.{_PART}){{99}}")
"""A key of a hundred parts. The parser's time grows with their square: half a million take hours."""

_TOML = {"tuple": "list", "dictionary": "table"}
"""What TOML calls Python's types."""
_TYPES = re.compile("|".join(_TOML))

_EXPECTED = {
    "string_type": "Write a string in quotes.",
    "bool_type": "Write true or false, without quotes.",
    "int_type": "Write a whole number, without quotes.",
    "float_type": "Write a number, without quotes.",
    "tuple_type": 'Write a list: ["…"].',
    "dict_type": 'Write a table: [name] or { key = "value" }.',
    "model_type": 'Write a table: [name] or { key = "value" }.',
    "missing": "Add the key.",
    "literal_error": "Write one of the values named.",
    "greater_than": "Write a greater number, or leave the key out.",
    "greater_than_equal": "Write a greater number, or leave the key out.",
    "less_than_equal": "Write a smaller number, or leave the key out.",
    "finite_number": "Write a number, or leave the key out.",
    "too_short": "Name at least one, or leave the key out.",
}


def parse_toml(text: str, file: str) -> tuple[dict[str, Any], list[Problem]]:
    """Read TOML 1.0; a syntax error is one problem with its line and column."""
    if len(text) > LARGEST:
        return {}, [Problem(file, f"has more than {LARGEST:,} characters", "Name a smaller file.")]
    too_deep = Problem(file, "its values are nested too deeply", "Write them flat.")
    if _DEEP_KEY.search(text):
        return {}, [too_deep]
    try:
        return tomllib.loads(text), []
    except RecursionError:
        return {}, [too_deep]
    except tomllib.TOMLDecodeError as error:
        if text.startswith("\ufeff"):
            remedy = "Save it as UTF-8 without one."
            return {}, [Problem(file, "begins with a byte order mark (BOM)", remedy)]
        return {}, [Problem(file, f"not valid TOML: {error}", "Correct the syntax at that place.")]
    except ValueError as error:  # a number of thousands of digits
        return {}, [Problem(file, f"holds a value that can't be read: {error}", "Correct the value.")]


def parse_project(text: str, file: str) -> tuple[ProjectSpec | None, list[Problem]]:
    """Read `envman.toml`; the model is None where there are problems."""
    return _parse(ProjectSpec, text, file)


def parse_environment(text: str, file: str) -> tuple[EnvironmentSpec | None, list[Problem]]:
    """Read an environment's spec; the model is None where there are problems."""
    return _parse(EnvironmentSpec, text, file)


def _parse(model: type[ModelT], text: str, file: str) -> tuple[ModelT | None, list[Problem]]:
    data, problems = parse_toml(text, file)
    if problems:
        return None, problems
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found = error.errors(include_url=False)
        return None, [_problem(model, details, file) for details in found if not _follows(details, found)]


def _follows(details: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """Whether a list counts as too short only because its entries were wrong."""
    place = details["loc"]
    inner = any(other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in found)
    return details["type"] == "too_short" and inner


def _problem(model: type[BaseModel], details: ErrorDetails, file: str) -> Problem:
    where = f"{file}: {dotted(details['loc'])}"
    kind = details["type"]
    if kind == "extra_forbidden":
        known = _keys_at(model, details["loc"][:-1])
        return Problem(where, "unknown key", nearest(str(details["loc"][-1]), known))
    error = details.get("ctx", {}).get("error")
    if isinstance(error, WrongValueError):
        return Problem(where, str(error), error.remedy)
    message = _TYPES.sub(lambda found: _TOML[found[0]], details["msg"][0].lower() + details["msg"][1:])
    return Problem(where, message, _EXPECTED.get(kind, "Correct the value."))


def dotted(path: tuple[int | str, ...]) -> str:
    """Write a place in a TOML file as `pyprojects[0].extras`."""
    text = ""
    for part in path:
        if part == "[key]":
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that the model allows at a path, read off the model itself."""
    schema = model.model_json_schema(by_alias=True)
    node = schema
    for part in path:
        node = _resolved(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return list(_resolved(schema, node).get("properties", {}))


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    tables = [one for one in node.get("anyOf", ()) if "properties" in one]
    return tables[0] if tables else node
