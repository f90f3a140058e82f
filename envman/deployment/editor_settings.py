"""What editors' settings say of an interpreter, put into files that people write, too. Pure.

A file with comments (VS Code's JSON has them) keeps every character that it has: what is added stands behind
its first brace. What can't be added so is told instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

VSCODE = ".vscode/settings.json"
PYRIGHT = "pyrightconfig.json"

_NEWLINES_ALONE = re.compile(r"[^\r\n]")


class UnclearSettingsError(Exception):
    """A file that is no JSON object, with comments or without: nobody can add to it."""


@dataclass(frozen=True)
class Merged:
    """A file's new text; keys that it has with another value, which stay as they are."""

    text: str
    other: tuple[str, ...] = ()


def vscode_settings(python: str) -> dict[str, object]:
    """VS Code's, for a path relative to the folder that is opened."""
    return {
        "python.defaultInterpreterPath": f"${{workspaceFolder}}/{python}",
        "python.testing.pytestEnabled": True,
    }


def pyright_settings(folder: str, name: str) -> dict[str, object]:
    """pyright's: the folder with the environment, relative to the file, and the environment's name in it."""
    return {"venvPath": folder, "venv": name}


def merged(text: str, wanted: Mapping[str, object]) -> Merged:
    """A settings file with what it lacks of the wanted keys; raises UnclearSettingsError.

    An empty text is that of a file which is not there yet.
    """
    if not text.strip():
        return Merged(f"{json.dumps(dict(wanted), indent=4)}\n")
    plain = _without_comments(text)
    try:
        present = json.loads(_without_last_commas(plain))
    except (ValueError, RecursionError) as error:
        raise UnclearSettingsError(f"it is no JSON: {error}") from None
    if not isinstance(present, dict):
        raise UnclearSettingsError("it is no JSON object")
    other = tuple(key for key, value in wanted.items() if key in present and present[key] != value)
    missing = {key: value for key, value in wanted.items() if key not in present}
    if not missing:
        return Merged(text, other)
    newline = "\r\n" if "\r\n" in text else "\n"
    start = plain.index("{") + 1
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in missing.items()]
    added = f",{newline}    ".join(lines) + ("," if present else newline)
    return Merged(f"{text[:start]}{newline}    {added}{text[start:]}", other)


def _without_comments(text: str) -> str:
    """The text with spaces in the place of comments, so that every other character stays where it is."""
    parts: list[str] = []
    at = 0
    for match in re.finditer(r'"(?:\\.|[^"\\])*"|//[^\r\n]*|/\*.*?\*/', text, re.DOTALL):
        comment = not match[0].startswith('"')
        parts += [text[at : match.start()], _NEWLINES_ALONE.sub(" ", match[0]) if comment else match[0]]
        at = match.end()
    return "".join([*parts, text[at:]])


def _without_last_commas(plain: str) -> str:
    """The text without commas behind a last item, which VS Code takes."""
    found = re.finditer(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', plain, re.DOTALL)
    for comma in [match.start() for match in found if match[0] == ","]:
        plain = f"{plain[:comma]} {plain[comma + 1 :]}"
    return plain
