"""Whether a program on PATH is another Python's: the interpreter, a script of its, a version manager's shim.

A shim stands for whatever program of that name its manager has at the moment: of pyenv and asdf it is a shell
script, of mise a link to mise itself. Which interpreter it would run is not looked for: it is not the
environment's.
"""

from __future__ import annotations

import os

_COMMANDS = ("python", "pip", "airflow")

_LINKED = frozenset({"mise", "rtx", "proto", "proto-shim", "pyenv", "asdf"})
"""Programs that, called by another name, run the program of that name."""

_RUNNERS = frozenset(
    {
        *("pyenv", "asdf", "mise", "rtx", "proto", "conda", "mamba", "micromamba", "pixi"),
        *("uv", "uvx", "pipx", "poetry", "pipenv", "hatch", "pdm", "rye"),
    }
)
_RUNS = frozenset({"exec", "run", "x", "tool"})
"""What follows one of the `_RUNNERS` where it runs a program in an interpreter of its own."""

_LOOKED_AT = 16_384
"""Bytes of a script that are read: a shim is shorter."""

_PLUGIN = "# asdf-plugin: "


def is_another_pythons(file: str, name: str) -> bool:
    """Whether the file that `name` stands for outside of an environment belongs to another Python.

    Of a script that somebody wrote, only a call of a version manager and the path of an interpreter tell.
    """
    for command in _COMMANDS:
        if name.startswith(command) and name[len(command) :].lstrip("0123456789.") in {"", "w", "t"}:
            return True
    if name not in _LINKED and os.path.basename(os.path.realpath(file)) in _LINKED:
        return True
    try:
        with open(file, "rb") as stream:
            start = stream.read(_LOOKED_AT)
    except OSError:
        return False
    if not start.startswith(b"#!"):
        return False
    first, _, rest = start.decode(errors="replace").partition("\n")
    if rest.startswith("'''exec' "):  # how installers write a long path to the interpreter
        return True
    if "python" in first:
        return "/env " not in first
    return _calls_another(rest)


def _calls_another(script: str) -> bool:
    """Whether a shell script runs a program by a version manager, or by the path of an interpreter."""
    plugins = [line.removeprefix(_PLUGIN) for line in script.splitlines() if line.startswith(_PLUGIN)]
    if plugins:  # of asdf, which has programs that have nothing to do with Python
        return any(plugin.startswith("python") for plugin in plugins)
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
    words = " ".join(lines).translate(_QUOTES).split()
    called = zip(words, [*words[1:], ""], strict=True)
    return any(
        (os.path.basename(word) in _RUNNERS and following in _RUNS)
        or (word.startswith("/") and os.path.basename(word).startswith("python"))
        for word, following in called
    )


_QUOTES = str.maketrans("\"';()", "     ")
