"""Find the interpreters of this machine, through virtualenv's own discovery."""

from __future__ import annotations

import contextlib
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
    """The base interpreters found, in the order of the search: PATH, pyenv, uv's managed ones.

    `unread` are folders that this user may not look into, where others may be.
    """

    found: tuple[BaseInterpreter, ...]
    unread: tuple[str, ...] = ()

    def choose(self, environment: str, requires_python: str) -> BaseInterpreter:
        """The newest one that a specifier admits; raises BuildError naming those that are there."""
        fitting = [item for item in self.found if SpecifierSet(requires_python).contains(item.version)]
        if not fitting:
            there = ", ".join(f"{item.version} ({item.executable})" for item in self.found) or "none"
            remedy = "Install one, put it on PATH or name it with --python."
            if self.unread:
                remedy += f" This user may not look into {', '.join(self.unread)}."
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
    search, unread = _search_path(environ)
    with CHILDREN.of_a_library():
        try:
            infos = iter_interpreters(key, cache=known, env=search)
            found = tuple(_unique(_interpreter(info) for info in infos))
        except RuntimeError:  # the path of a program that is no Python
            found = ()
        except PermissionError as error:
            what = f"can't be looked for interpreters: {error.strerror}"
            remedy = "Check this user's rights to it, or name an interpreter with --python."
            raise BuildError(Problem(str(error.filename), what, remedy)) from None
    CHILDREN.look()  # an interpreter that was ended with the command is not one that isn't there
    if requested and not found:
        raise BuildError(
            Problem(
                f"--python {requested}", "no such interpreter", "Pass a version, such as 3.12, or a path."
            )
        )
    return Interpreters(found, tuple(unread))


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


def _search_path(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The environment with pyenv's interpreters on PATH, also those that it has not activated, for its shims;
    and the folders that were left out, as this user may not look into them: the search would end there.

    A shim of a version that is not active fails when it is run, and takes a quarter of a second for it.
    """
    root = Path(environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))  # noqa: PTH111  # also without a home
    unread: list[str] = []
    search = dict(environ)
    versions: list[str] = []
    if _can_be_read(str(root)):
        versions = sorted(str(version) for version in root.glob("versions/3.*/bin"))
    else:
        unread.append(str(root))
        search["PYENV_ROOT"] = f"{os.devnull}/none"
    folders = [
        folder
        for folder in (*environ.get("PATH", os.defpath).split(os.pathsep), *versions)
        if Path(folder) != root / "shims"
    ]
    unread += [folder for folder in folders if not _can_be_read(folder)]
    search["PATH"] = os.pathsep.join(folder for folder in folders if folder not in unread)
    return search, unread


def _can_be_read(folder: str) -> bool:
    """Whether a folder and what in it may be an interpreter can be looked at; also where it is not there."""
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.startswith("python"):
                    with contextlib.suppress(FileNotFoundError):
                        entry.stat()
    except PermissionError:
        return False
    except OSError:  # it is not there
        pass
    return True
