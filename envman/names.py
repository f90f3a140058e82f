"""The rule for names of environments, bundles and teams, and the nearest known name for a wrong one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MAX_LENGTH = 64
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
RESERVED = frozenset({"all", "default", "none"})
"""Words that the command line and the documentation use for something else."""


def name_problem(name: str) -> str | None:
    """Say what is wrong with a name, or None.

    A name becomes part of a path, of a symbolic link and of a published table, so it holds letters, digits,
    `_`, `-` and `.`, starts with a letter or digit, ends with one or with `_`, and has at most 64 characters.
    """
    if not name:
        return "the name is empty"
    if len(name) > MAX_LENGTH:
        return f"the name has {len(name)} characters, {MAX_LENGTH} are allowed"
    if NAME.fullmatch(name) is None or ".." in name:
        return "the name may hold letters, digits, '_', '-' and single '.', and starts with a letter or digit"
    if name.lower() in RESERVED:
        return f"the name '{name}' is reserved"
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence for an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    if not names:
        return "There is none yet."
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean '{close[0]}'? Known: {_listing(names)}."
    return f"Known: {_listing(names)}."


def _listing(names: list[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
