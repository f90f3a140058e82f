"""How a user's shell is started in an environment, and stays in it whatever the user's own files do.

The files in `shells` are what each shell reads in place of the user's, or behind them: they read the user's
first, and then put the environment's folders first on PATH.
"""

from __future__ import annotations

import os
import shlex

from envman.errors import Problem, UsageError
from envman.resolver.variables import DROPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FILES = f"{os.path.dirname(os.path.abspath(__file__))}/shells"
REFUSED = f"{FILES}/refused"
"""A folder with what stands for other interpreters' pip, pytest and such, which run nothing."""

KINDS = {
    **dict.fromkeys(("bash", "rbash"), "bash"),
    **dict.fromkeys(("zsh", "rzsh"), "zsh"),
    "fish": "fish",
    **dict.fromkeys(("sh", "dash", "ash", "ksh", "ksh93", "mksh", "busybox"), "sh"),
}
"""Which of the known shells a program is, by its name."""


def own_shell(
    asked: str, environment: str, folders: Sequence[str], declared: tuple[Iterable[str], Mapping[str, str]]
) -> tuple[list[str], dict[str, str]]:
    """The words that start the user's shell, or the one that is asked for, and its further variables.

    `folders` come first on PATH; `declared` are the variables that the environment keeps out and sets. Raises
    UsageError for a shell that is not known: nobody could say what its files do.
    """
    program = asked or os.environ.get("SHELL") or "/bin/sh"
    kind = KINDS.get(os.path.basename(program).lstrip("-"))
    if kind is None:
        what = "it is none of the shells that are known here: bash, zsh, fish, sh (dash, ash, ksh)"
        remedy = f"Name one: envman shell --shell bash; or: envman run -- {shlex.quote(program)}"
        raise UsageError(Problem(program, what, remedy))
    if "/" not in program:
        program = _found(program)
    words = [program, *(["sh"] if os.path.basename(program) == "busybox" else [])]
    first = [*folders, REFUSED]
    variables = {
        "ENVMAN_SHELL": environment,
        "ENVMAN_SHELL_BIN": ":".join(first),
        "ENVMAN_SHELL_FOLDERS": ":".join(first),
        "PATH": ":".join([*first, *_others(first)]),
        "ENVMAN_SHELL_AGAIN": again(kind, *declared, folders[0].rpartition("/")[0]),
    }
    words += {
        "bash": ["--rcfile", f"{FILES}/bash.sh"],
        "fish": ["-C", f"source {_fish(f'{FILES}/fish.fish')}"],
    }.get(kind, [])
    return words, variables | _read_first(kind)


def _read_first(kind: str) -> dict[str, str]:
    """Variables by which a shell reads the file of `shells`, and those that name the user's own."""
    name, file = {
        "bash": ("BASH_ENV", f"{FILES}/bash.sh"),
        "zsh": ("ZDOTDIR", f"{FILES}/zsh"),
        "sh": ("ENV", f"{FILES}/sh.sh"),
    }.get(kind, ("", ""))
    return {name: file, f"ENVMAN_SHELL_{name}": os.environ.get(name, "")} if name else {}


def _others(first: Sequence[str]) -> list[str]:
    """The further folders of PATH, without those of the environment or shell that this one is within."""
    within = os.environ.get("ENVMAN_SHELL_FOLDERS", "").split(":")
    left_out = {*first, *within}
    if around := os.environ.get("VIRTUAL_ENV"):
        left_out.add(f"{around.rstrip('/')}/bin")
    folders = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
    return [folder for folder in folders if folder.rstrip("/") not in left_out]


def _found(name: str) -> str:
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        if os.access(f"{folder}/{name}", os.X_OK) and os.path.isfile(f"{folder}/{name}"):
            return os.path.abspath(f"{folder}/{name}")
    raise UsageError(Problem(name, "there is no such program on PATH", "Name the shell by its path."))


def again(kind: str, keep_out: Iterable[str], settings: Mapping[str, str], prefix: str) -> str:
    """What a shell does once the user's own files are read: lines of its language, which drop the variables
    that no environment gets and set those of this one.
    """
    dropped = [name for name in (*sorted(DROPPED), *keep_out) if name.rstrip("*").isidentifier()]
    lines = [_without(kind, name) for name in dropped]
    quote, assign = (_fish, "set -gx {} {}") if kind == "fish" else (shlex.quote, "export {}={}")
    for name, value in {**settings, "VIRTUAL_ENV": prefix}.items():
        if name.isidentifier():
            lines.append(assign.format(name, quote(value)))
    return "\n".join(lines)


def _without(kind: str, name: str) -> str:
    if not name.endswith("*"):
        return f"set -e {name}" if kind == "fish" else f"unset {name}"
    start = name[:-1]
    return {
        "bash": f"unset ${{!{start}@}}",
        "zsh": f"unset -m '{start}*'",
        "fish": f"for name in (set -nx | string match '{start}*'); set -e $name; end",
        "sh": f"for name in $(env | sed -n 's/^\\({start}[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset $name; done",
    }[kind]


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
