"""Whether a program on PATH is another Python's: the interpreter, a script of its, a version manager's shim.

A shim stands for whatever program of that name its manager has at the moment: of pyenv and asdf it is a shell
script, of mise a link to mise itself. Which interpreter it would run is not looked for: it is not the
environment's.
"""

from __future__ import annotations

import os

_COMMANDS = ("python", "pip", "airflow")
_INTERPRETERS = ("python", "pypy")

_LINKED = frozenset({"mise", "rtx", "proto", "proto-shim", "pyenv", "asdf"})
"""Programs that, called by another name, run the program of that name."""

_RUNNERS = frozenset(
    {
        *("pyenv", "asdf", "mise", "rtx", "proto", "conda", "mamba", "micromamba", "pixi"),
        *("uv", "pipx", "poetry", "pipenv", "hatch", "pdm", "rye"),
    }
)
_RUNS = frozenset({"exec", "run", "x"})
"""By which one of the `_RUNNERS` is told to run a program in an interpreter of its own."""

_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})

_LOOKED_AT = 16_384
"""Bytes of a script that are read: a shim is shorter."""

_PLUGIN = "# asdf-plugin: "
_ENDS = str.maketrans(dict.fromkeys(";&|", "\n"))
_QUOTES = str.maketrans("", "", "\"'`(){}")


def why_another_pythons(file: str, name: str) -> str:
    """Why the file that `name` stands for outside of an environment belongs to another Python; else empty.

    Of a shell script, only what it passes its arguments on to is looked at.
    """
    for command in _COMMANDS:
        if name.startswith(command) and name[len(command) :].lstrip("0123456789.") in {"", "w", "t"}:
            return "it has that name"
    manager = os.path.basename(os.path.realpath(file))
    if name not in _LINKED and manager in _LINKED:
        return f"it is a link to {manager}"
    try:
        with open(file, "rb") as stream:
            start = stream.read(_LOOKED_AT)
    except OSError:
        return ""
    if not start.startswith(b"#!"):
        return ""
    first, _, rest = start[2:].decode(errors="replace").partition("\n")
    words = first.split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        if words and words[0].startswith(_INTERPRETERS):  # which is the environment's
            return ""
    if reason := _why(words):
        return reason
    if rest.startswith("'''exec' "):  # how installers write a long path to the interpreter
        return "it is a script of another one"
    return _why_passed_on(rest) if words and os.path.basename(words[0]) in _SHELLS else ""


def _why_passed_on(script: str) -> str:
    """The same of what a shell script runs in its own place, or with its own arguments."""
    lines = script.splitlines()
    plugins = [line.removeprefix(_PLUGIN) for line in lines if line.startswith(_PLUGIN)]
    if plugins and not any(plugin.startswith("python") for plugin in plugins):
        return ""  # of asdf, which has programs that have nothing to do with Python
    ended = ""
    for line in lines:
        if ended or line.lstrip().startswith("#"):
            ended = "" if line.strip() == ended else ended
            continue
        for command in line.translate(_ENDS).splitlines():
            words = [word.translate(_QUOTES) for word in command.split()]
            while words and "=" in words[0]:
                del words[0]
            in_place = words[:1] == ["exec"]
            if (in_place or "$@" in words or "$*" in words) and (reason := _why(words[in_place:])):
                return reason
        ended = _end_of_text(line)
    return ""


def _end_of_text(line: str) -> str:
    """The word up to which the next lines are a text for another program; empty where they are none."""
    _, sign, rest = line.replace("<<<", "").partition("<<")
    words = rest.lstrip("-").split()
    return words[0].translate(_QUOTES) if sign and words else ""


def _why(words: list[str]) -> str:
    """The same of a command: an interpreter by its path, or a version manager that runs something."""
    for word in words:
        name = os.path.basename(word)
        if "/" in word and name.rstrip("0123456789.") in _INTERPRETERS:
            return f"it runs {word}"
    program = os.path.basename(words[0]) if words else ""
    if program in _RUNNERS and (verbs := [word for word in words[1:] if word in _RUNS]):
        return f"it runs {program} {verbs[0]}"
    return ""
