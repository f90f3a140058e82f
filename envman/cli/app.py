"""The command line: envman's own options, and the groups that its commands stand in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from envman import __version__
from envman.cli.lazy_group import LazyGroup
from envman.cli.lifetime import take_umask, whole_command
from envman.cli.output import write
from envman.cli.registry import ADOPT_COMMANDS, COMMANDS, IMAGE_COMMANDS

_HELP = """One Airflow, many interpreters: predefined, locked environments for several teams' Dag bundles.

A spec declares an environment, a lock pins it with hashes, a build makes an immutable generation of it, and
exec starts a command in the interpreter of a bundle. Begin with: envman init
"""
_EPILOG = (
    "Exit codes: 0 done · 1 failed · 2 wrong arguments · 3 wrong spec · 4 lock missing or stale · "
    "5 unsatisfiable · 6 build failed · 7 no answer for a bundle · "
    "8 root folder damaged or not writable · 9 image · 10 policy · 129, 130, 143 interrupted"
)
_COMPLETE = "_ENVMAN_COMPLETE"
"""The variable by which a shell's script asks what a word may become; typer names it after the command."""


class _Commands(LazyGroup):
    entries = COMMANDS


class _ImageCommands(LazyGroup):
    entries = IMAGE_COMMANDS


class _AdoptCommands(LazyGroup):
    entries = ADOPT_COMMANDS


app = typer.Typer(
    name="envman",
    cls=_Commands,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(
    typer.Typer(
        name="image",
        cls=_ImageCommands,
        help="Images of environments: build, push, inspect, compare.",
        no_args_is_help=True,
    )
)
app.add_typer(
    typer.Typer(
        name="adopt",
        cls=_AdoptCommands,
        help="Move an Airflow as it is to envman, with a proof and a way back.",
        no_args_is_help=True,
    )
)


def _version(value: bool) -> None:
    if value:
        write(sys.stdout, f"envman {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version_option: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """The options of envman itself; its help text is the app's."""


def _without_equals_signs(environ: Mapping[str, str]) -> dict[str, str]:
    """The words on bash's line, which cuts `--bundle=b` into three: an option and its value as two."""
    words = environ.get("COMP_WORDS", "").split("\n")
    number = int(environ.get("COMP_CWORD", "0"))
    before = [word for word in words[:number] if word != "="]
    last = [word for word in words[number : number + 1] if word != "="]
    return {"COMP_WORDS": "\n".join([*before, *(last or [""])]), "COMP_CWORD": str(len(before))}


def main() -> None:
    """Run the command line with the process's arguments.

    What envman and its children write is for its owner to change: others get no right to write, whatever the
    umask says. What only starts a program (`exec`, `launch`) doesn't come here, and leaves the umask alone.
    """
    take_umask()
    if _COMPLETE in os.environ:
        # For zsh and fish typer renders each command's line by rich, if that can be found: it takes longer
        # than all the rest, and the lines have no markup.
        sys.modules["rich"] = None  # type: ignore[assignment]
        if os.environ[_COMPLETE] == "complete_bash":
            os.environ.update(_without_equals_signs(os.environ))
    with whole_command():
        app()
