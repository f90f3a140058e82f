"""Find the interpreters of this machine, through virtualenv's own discovery."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from python_discovery import ContentStore, DiskCache, PythonInfo, iter_interpreters

from envman.build.stamp import stamp
from envman.errors import BuildError, Problem
from envman.store.manifest import BaseInterpreter
from envman.system.children import CHILDREN
from envman.system.files import cache_folder

EVERY = "cpython>=3.8"


@dataclass(frozen=True)
class Interpreters:
    """The base interpreters found, in the order of the search: PATH, pyenv, uv's managed ones."""

    found: tuple[BaseInterpreter, ...]

    def choose(self, environment: str, requires_python: str) -> BaseInterpreter:
        """The newest one that a specifier admits; raises BuildError naming those that are there."""
        fitting = [item for item in self.found if SpecifierSet(requires_python).contains(item.version)]
        if not fitting:
            there = ", ".join(f"{item.version} ({item.executable})" for item in self.found) or "none"
            remedy = "Install one, put it on PATH or name it with --python."
            what = f"no interpreter answers requires-python '{requires_python}'; found: {there}"
            raise BuildError(Problem(f"environment '{environment}'", what, remedy))
        return max(fitting, key=lambda item: Version(item.version))


class _Cache(DiskCache):
    """What is known of interpreters; none is asked any more once the command was ended."""

    def py_info(self, path: Path) -> ContentStore:
        """What is known of one; raises InterruptedByUserError."""
        CHILDREN.look()
        return super().py_info(path)


def discover(requested: str | None, environ: Mapping[str, str]) -> Interpreters:
    """Look for interpreters: all of them, or those that answer a request such as '3.12' or a path.

    Raises BuildError where nothing answers a request.
    """
    key = requested or EVERY
    known = _Cache(cache_folder(environ) / "interpreters")  # one that has changed is looked at again
    logging.getLogger("python_discovery").addHandler(logging.NullHandler())  # a cache that can't be written
    with CHILDREN.of_a_library():
        try:
            infos = iter_interpreters(key, cache=known, env=_search_path(environ))
            found = tuple(_unique(_interpreter(info) for info in infos))
        except RuntimeError:  # the path of a program that is no Python
            found = ()
    CHILDREN.look()  # an interpreter that was ended with the command is not one that isn't there
    if requested and not found:
        raise BuildError(
            Problem(
                f"--python {requested}", "no such interpreter", "Pass a version, such as 3.12, or a path."
            )
        )
    return Interpreters(found)


def _interpreter(info: PythonInfo) -> BaseInterpreter:
    executable = os.path.realpath(info.system_executable or info.executable)
    version = ".".join(str(part) for part in info.version_info[:3])
    if info.version_info.releaselevel != "final":
        version += f"{info.version_info.releaselevel[0]}{info.version_info.serial}".replace("c", "rc")
    return BaseInterpreter(
        implementation=info.implementation,
        version=version,
        platform=str(info.sysconfig_platform),
        executable=executable,
        stamp=stamp(executable),
    )


def _unique(interpreters: Iterable[BaseInterpreter]) -> Iterable[BaseInterpreter]:
    seen: set[str] = set()
    for interpreter in interpreters:
        if interpreter.executable not in seen:
            seen.add(interpreter.executable)
            yield interpreter


def _search_path(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with pyenv's interpreters on PATH, also those that it has not activated, for its shims.

    A shim of a version that is not active fails when it is run, and takes a quarter of a second for it.
    """
    root = Path(environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))  # noqa: PTH111  # also without a home
    versions = sorted(root.glob("versions/3.*/bin"))
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    kept = [folder for folder in folders if Path(folder) != root / "shims"]
    return {**environ, "PATH": os.pathsep.join([*kept, *(str(version) for version in versions)])}
