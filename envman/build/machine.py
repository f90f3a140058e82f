"""What builds need to know of the machine that they are for: its interpreters, and how virtualenv is run."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from envman.build.quarantine import Guest, Quarantine, quarantine
from envman.build.stamp import stamp
from envman.spec.project import Environment
from envman.store.manifest import BaseInterpreter
from envman.system.files import cache_folder

if TYPE_CHECKING:
    from envman.build.interpreters import Interpreters


class Machine(Protocol):
    """A machine, or an image that is made ready as one."""

    @property
    def links(self) -> bool:
        """Whether files of uv's cache can be linked into its environments, if the file system is the same."""

    @property
    def cache(self) -> Path:
        """The folder with the bytecode that its interpreters have compiled."""

    def choose(self, environment: Environment) -> BaseInterpreter:
        """The newest interpreter that the environment admits; raises BuildError naming those there are."""

    def is_same(self, interpreter: BaseInterpreter) -> bool:
        """Whether an interpreter that was chosen once is still there, unaltered."""

    def virtualenv(self, interpreter: BaseInterpreter) -> Sequence[str]:
        """The words that start virtualenv for an interpreter."""

    def quarantine(self, guest: Guest, variables: Mapping[str, str]) -> Quarantine:
        """What runs programs of a generation that is being built, with these variables, kept apart from
        everything else; raises BuildError where nothing runs there.
        """


class ThisMachine:
    """The machine that envman runs on; its interpreters are looked for once and only if a build needs one.

    `python` is a request such as `3.12` or a path; None: any that fits.
    """

    def __init__(self, python: str | None = None) -> None:
        self.links = True
        self._requested = python
        self._lock = threading.Lock()
        self._found: Interpreters | None = None

    @property
    def cache(self) -> Path:
        """envman's cache."""
        return cache_folder(os.environ)

    def choose(self, environment: Environment) -> BaseInterpreter:
        """The newest interpreter that the environment admits; raises BuildError naming those there are."""
        with self._lock:
            if self._found is None:
                from envman.build.interpreters import discover  # a build with nothing to do never gets here

                self._found = discover(self._requested, os.environ)
        return self._found.choose(environment.name, environment.requires_python)

    def is_same(self, interpreter: BaseInterpreter) -> bool:
        """Whether it is still there, unaltered; never where one was asked for, as that may be another."""
        return self._requested is None and interpreter.stamp == stamp(interpreter.executable)

    def virtualenv(self, interpreter: BaseInterpreter) -> Sequence[str]:
        """The words that start virtualenv: this interpreter's own, which looks at the other one."""
        return sys.executable, "-m", "virtualenv", "--python", interpreter.executable

    def quarantine(self, guest: Guest, variables: Mapping[str, str]) -> Quarantine:
        """What runs programs of a generation that is being built, kept as far apart as can be."""
        return quarantine(guest, variables)
