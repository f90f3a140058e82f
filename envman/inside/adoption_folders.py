"""What stands in a live Airflow's folders: Dag files, modules beside them, archives, links, plugins.

Files are read as syntax trees; none is run, and no link is followed to another folder than its own.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import sys
import tokenize
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envman.inside.reports import FolderReport

MOST_FILES = 20_000
"""Files of a folder that are looked at."""

LARGEST = 4 * 2**20
"""Bytes of a file that is read."""

SHOWN = 500
"""Names of each kind that are told."""

_LEFT_OUT = {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", ".tox"}
_REQUIREMENTS = (
    *("requirements*.txt", "requirements*.in", "constraints*.txt", "pyproject.toml", "packages.txt"),
    *("setup.py", "setup.cfg", "Pipfile", "poetry.lock", "uv.lock", "environment.y*ml"),
)


def look(folder: str) -> FolderReport:
    """A bundle's folder: its files by their kinds, paths relative to it."""
    python: list[str] = []
    archives: list[str] = []
    links: list[str] = []
    skipped: dict[str, str] = {}
    truncated = False
    for path in _files(folder):
        if len(python) + len(archives) >= MOST_FILES:
            truncated = True
            break
        relative = os.path.relpath(path, folder)
        if os.path.islink(path):
            links.append(relative)
        if path.endswith(".py"):
            python.append(relative)
        elif path.endswith((".zip", ".egg", ".whl")):
            archives.append(relative)
    beside: dict[str, int] = {}
    for relative in python:
        try:
            for module in _beside(folder, relative):
                beside[module] = beside.get(module, 0) + 1
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            skipped[relative] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return {
        "folder": folder,
        "is_there": os.path.isdir(folder),
        "files": len(python),
        "archives": sorted(archives)[:SHOWN],
        "links": sorted([*links, *_linked_folders(folder)])[:SHOWN],
        "beside": dict(sorted(beside.items())[:SHOWN]),
        "unreadable": dict(sorted(skipped.items())[:SHOWN]),
        "truncated": truncated,
    }


def _files(folder: str) -> Iterator[str]:
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name not in _LEFT_OUT)
        for name in sorted(names):
            yield os.path.join(here, name)


def _linked_folders(folder: str) -> Iterator[str]:
    """Folders that are links: Airflow follows them, and this doesn't."""
    for here, below, _ in os.walk(folder):
        below[:] = [name for name in below if name not in _LEFT_OUT]
        for name in below:
            if os.path.islink(os.path.join(here, name)):
                yield os.path.relpath(os.path.join(here, name), folder) + os.sep


def _beside(folder: str, relative: str) -> set[str]:
    """The bundle's own modules that a file imports, by their first names."""
    path = os.path.join(folder, relative)
    if not os.path.isfile(path) or os.path.getsize(path) > LARGEST:
        raise ValueError("it is no file of at most 4 MB")
    with tokenize.open(path) as stream:
        tree = ast.parse(stream.read(), path)
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            if top not in _STANDARD and _is_module(folder, top):
                found.add(top)
    return found


_STANDARD = {*sys.builtin_module_names, *getattr(sys, "stdlib_module_names", ())}


def _is_module(folder: str, top: str) -> bool:
    place = os.path.join(folder, top)
    return os.path.isfile(f"{place}.py") or (os.path.isdir(place) and _has_python(place))


def _has_python(folder: str) -> bool:
    try:
        return any(name.endswith(".py") for name in os.listdir(folder))
    except OSError:
        return False


def modules_in(folder: str) -> list[str]:
    """The Python files of the plugins folder, relative to it."""
    paths = (os.path.relpath(path, folder) for path in _files(folder) if path.endswith((".py", ".zip")))
    return sorted(islice(paths, MOST_FILES))[:SHOWN]


def local_settings(folders: Iterable[str]) -> list[str]:
    """Where `airflow_local_settings` is, in folders that are on Airflow's path and beside its packages."""
    places = [*dict.fromkeys(folders), *sys.path]
    names = ("airflow_local_settings.py", os.path.join("airflow_local_settings", "__init__.py"))
    found = (os.path.join(place, name) for place in places for name in names if place)
    return sorted({path for path in found if os.path.isfile(path)})[:SHOWN]


def requirements_in(folders: Iterable[str]) -> list[str]:
    """Files that say what is needed, in these folders and the ones above them that are a project's."""
    found: set[str] = set()
    for folder in dict.fromkeys(folders):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if any(fnmatch.fnmatch(name, pattern) for pattern in _REQUIREMENTS):
                found.add(os.path.join(folder, name))
    return sorted(found)[:SHOWN]
