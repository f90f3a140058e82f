"""Environment variables that a bundle's files name: to be told of those that its workloads do not get.

A file that reads one gets nothing and says nothing: Dags are missing, or do something else.
"""

from __future__ import annotations

import os
import re

from envman.resolver.airflow_options import variable_of
from envman.resolver.inherited import PREFIX, names_a_team

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MOST_FILES = 5_000
"""Files of a bundle that are looked at: a component must not be kept from its start."""

MOST_BYTES = 1_000_000
"""Bytes of each file that are read."""


OPTION = re.compile(rb"""\(\s*(?:section\s*=\s*)?["']([\w.]+)["']\s*,\s*(?:key\s*=\s*)?["'](\w+)["']""")
"""What `conf.get("smtp", "smtp_host")` and its like begin with: the section and option of a configuration."""


def asked_variables(folder: str, names: Collection[str]) -> dict[str, str]:
    """Those of the variables that a Python file below a folder names, as a string or as an option of
    Airflow's configuration; each with the first such file, relative to the folder. Files are read, not run;
    links of folders are not followed.
    """
    if not names:
        return {}
    quoted = re.compile(rb"""["'](%s)["']""" % b"|".join(re.escape(name.encode()) for name in sorted(names)))
    options = _options(names)
    found: dict[str, str] = {}
    for number, path in enumerate(_files(folder)):
        if number == MOST_FILES or len(found) == len(names):
            break
        text = _text(path)
        asked = [name.decode() for name in quoted.findall(text)]
        if options:
            pairs = (variable_of(section.decode(), key.decode()) for section, key in OPTION.findall(text))
            asked += [options[pair] for pair in pairs if pair in options]
        for name in asked:
            found.setdefault(name, os.path.relpath(path, folder))
    return found


def _options(names: Collection[str]) -> dict[str, str]:
    """Those of the variables that set an option, by SECTION__KEY: also those that say where its value is."""
    found: dict[str, str] = {}
    for name in sorted(names):
        if name.startswith(PREFIX) and not names_a_team(name):
            option = name[len(PREFIX) :]
            found |= dict.fromkeys(
                (option.removesuffix("_CMD"), option.removesuffix("_SECRET"), option), name
            )
    return found


def _files(folder: str) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield from (f"{where}/{name}" for name in sorted(files) if name.endswith(".py"))


def _text(path: str) -> bytes:
    """The beginning of a file; empty for whatever is no file, or can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with open(descriptor, "rb") as stream:
        try:
            return stream.read(MOST_BYTES) if os.path.isfile(path) else b""
        except OSError:
            return b""
