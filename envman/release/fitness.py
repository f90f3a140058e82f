"""Whether a host can run a generation that another one has built: its base interpreter and C library."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

from envman.build.stamp import stamp
from envman.errors import BuildError, Problem
from envman.inside.protocol import SCRIPTS
from envman.lock.wheel_tags import interpreter_tags
from envman.release.document import Abi
from envman.store.manifest import BaseInterpreter, parse_interpreter
from envman.system.processes import Processes

_FACTS, _TAGS = f"{SCRIPTS}/python_facts.py", f"{SCRIPTS}/python_tags.py"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?")
_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_SECONDS = 60.0
_LARGEST_TEXT = 2**16


class Host:
    """Base interpreters of this machine, each of which is asked once what it is."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._known: dict[str, tuple[BaseInterpreter, str]] = {}

    def abi(self, interpreter: BaseInterpreter, where: str) -> Abi:
        """What decides which extension modules an interpreter of this host loads; raises BuildError."""
        try:
            facts = json.loads(self._asked(interpreter, where)[1])
            return Abi(*(str(facts[key]) for key in ("abi", "libc", "platform")))
        except (ValueError, KeyError, TypeError) as error:
            what = f"{interpreter.executable} does not say what it is: {error}"
            raise BuildError(Problem(where, what, "Install that interpreter again.")) from None

    def check(self, interpreter: BaseInterpreter, built: Abi, where: str) -> str:
        """Raises BuildError unless this host has the interpreter that a generation was built for, of the same
        version and binary interface, at the same path; returns its stamp (see `build.stamp`).
        """
        here, _ = self._asked(interpreter, where)
        wanted, found = ((one.implementation, one.version, one.platform) for one in (interpreter, here))
        if wanted != found:
            what = (
                f"was built for {interpreter.describe()} on {interpreter.platform}; "
                f"{interpreter.executable} is {here.describe()} on {here.platform}"
            )
            raise BuildError(Problem(where, what, _same_python(interpreter)))
        if here.executable != interpreter.executable:
            what = (
                f"was built for {interpreter.executable}, which is a link to {here.executable} on this host"
            )
            raise BuildError(Problem(where, what, _same_python(interpreter)))
        own = self.abi(interpreter, where)
        if (built.abi, built.platform, _kind(built)) != (own.abi, own.platform, _kind(own)):
            what = f"was built for {_described(built)}; {interpreter.executable} has {_described(own)}"
            raise BuildError(Problem(where, what, _same_python(interpreter)))
        return stamp(interpreter.executable)

    def check_wheels(self, folder: Path, interpreter: BaseInterpreter, built: Abi, where: str) -> None:
        """Raises BuildError where a package of a generation is for a newer C library, or another machine.

        Goes by the tags in each package's WHEEL file (PEP 427). A package that was built from source says
        `linux` there, and needs the C library that it was built with.
        """
        own = self.abi(interpreter, where)
        try:
            here = {str(tag) for tag in interpreter_tags(self._asked(interpreter, where)[1])}
        except ValueError:  # not CPython: of others, builds take what is for any
            here = set()
        unfit: list[str] = []
        for name, tags in sorted(wheel_tags(folder).items()):
            special = [tag for tag in tags if not tag.endswith("-any")]
            from_source = any(tag.rpartition("-")[2].startswith("linux_") for tag in special)
            if special and from_source and _version(built) > _version(own):
                unfit.append(f"{name} was built with {built.libc}")
            elif special and len(special) == len(tags) and here and not here & set(tags):
                unfit.append(f"{name} is for {' or '.join(sorted(tag.rpartition('-')[2] for tag in tags))}")
        if unfit:
            what = f"this host has {own.libc} on {own.platform}, and {'; '.join(unfit[:10])}"
            raise BuildError(
                Problem(where, what, "Build on the oldest system that your hosts have; push that.")
            )

    def _asked(self, interpreter: BaseInterpreter, where: str) -> tuple[BaseInterpreter, str]:
        """What an interpreter says of itself; it is run once, if that is its name."""
        path = interpreter.executable
        if path not in self._known:
            if not _PYTHON.fullmatch(path.rpartition("/")[2]) or os.path.normpath(path) != path:
                what = f"names a base interpreter that is none: {path}"
                raise BuildError(Problem(where, what, "Find out who has pushed it."))
            if not os.access(path, os.X_OK) or not Path(path).is_file():
                what = f"was built for {interpreter.describe()} at {path}, which this host does not have"
                raise BuildError(Problem(where, what, _same_python(interpreter)))
            try:
                found = parse_interpreter(self._said(path, _FACTS, where))
            except ValueError as error:
                raise BuildError(Problem(path, str(error), "Install that interpreter again.")) from None
            self._known[path] = found, self._said(path, _TAGS, where)
        return self._known[path]

    def _said(self, path: str, script: str, where: str) -> str:
        words = [path, "-I", "-S", script]
        finished = self._processes.run(words, {"LANG": "C.UTF-8"}, gettempdir(), timeout=_SECONDS)
        if finished.exit_code:
            what = f"{path} does not start: it ended with {finished.exit_code}"
            raise BuildError(Problem(where, what, "Install that interpreter again."))
        return finished.stdout


def wheel_tags(folder: Path) -> Mapping[str, list[str]]:
    """The tags of each installed package, by the name of its metadata's folder; raises OSError."""
    found: dict[str, list[str]] = {}
    for path in folder.glob("lib/python3*/site-packages/*.dist-info/WHEEL"):
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = stream.read(_LARGEST_TEXT).splitlines()
        tags = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("tag:")]
        found[path.parent.name.removesuffix(".dist-info")] = tags
    return found


def _same_python(interpreter: BaseInterpreter) -> str:
    what = f"Install {interpreter.describe()} at {interpreter.executable}"
    return f"{what}, or build with one that all hosts have: envman build --python PYTHON"


def _kind(abi: Abi) -> str:
    return abi.libc.partition(" ")[0]


def _version(abi: Abi) -> tuple[int, ...]:
    found = _VERSION.search(abi.libc)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _described(abi: Abi) -> str:
    return f"the interface {abi.abi or 'of no CPython'} with {abi.libc} on {abi.platform}"
