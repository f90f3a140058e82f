"""The variables of the programs that a component starts itself: `git`, `file`, commands of `_CMD` options.

They would inherit the component's secrets, and /proc shows their variables to every process of the same
user. So they get those of a list, and what their caller gives them besides; a copy of the component's own
variables, as GitPython makes it, is held against the same list. Workloads are not started this way.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from envman.resolver.inherited import PROGRAMS, PROGRAMS_GET
from envman.resolver.variables import matches

_EXECUTABLES, _VARIABLES = 1, 5
"""The places of two lists among the arguments of CPython's `fork_exec`: the paths to try, and the variables,
or None for its own.
"""


def install(but_own_interpreter: bool = False) -> None:
    """Have this process's programs get those variables.

    `but_own_interpreter`: not where it starts its own interpreter, which is a further process of the
    component then. `subprocess` and `multiprocessing` go through one function of CPython, once kept from
    posix_spawn.
    """
    import _posixsubprocess

    fork_exec: Any = _posixsubprocess.fork_exec
    own = os.fsencode(sys.executable) if but_own_interpreter else b""

    def with_listed(*arguments: Any) -> Any:
        if own in map(os.fsencode, arguments[_EXECUTABLES]):
            return fork_exec(*arguments)
        before, after = arguments[:_VARIABLES], arguments[_VARIABLES + 1 :]
        return fork_exec(*before, listed(arguments[_VARIABLES]), *after)

    _set(subprocess, "_USE_POSIX_SPAWN", False)
    _set(_posixsubprocess, "fork_exec", with_listed)
    _set(subprocess, "_fork_exec", with_listed)  # Python 3.11 and newer have a name of their own for it


def _set(module: Any, name: str, value: object) -> None:
    setattr(module, name, value)


def listed(variables: Iterable[bytes] | None) -> list[bytes]:
    """What a program gets of the variables that it is started with, as NAME=VALUE; None: of this process's.

    Left out is what is not on the list and has the value that this process has.
    """
    hidden = {*_hidden()}
    if variables is None:
        variables = (b"%s=%s" % pair for pair in os.environb.items())
    return [variable for variable in variables if variable not in hidden]


def _hidden() -> Iterator[bytes]:
    passed = (*PROGRAMS, *os.environ.get(PROGRAMS_GET, "").split())
    for name, value in os.environb.items():
        if not matches(os.fsdecode(name), passed):
            yield b"%s=%s" % (name, value)
