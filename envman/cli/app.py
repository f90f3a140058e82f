"""The command line: what there is, in the order in which one uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from envman import __version__
from envman.cli.auditing import audit_command, licenses_command, sbom_command
from envman.cli.deploying import airflow_config_command, check_command, doctor_command, publish_command
from envman.cli.imaging import image_app
from envman.cli.keeping import (
    export_command,
    gc_command,
    prune_command,
    rollback_command,
    wheelhouse_command,
)
from envman.cli.looking import (
    diff_command,
    history_command,
    list_command,
    resolve_command,
    schema_command,
    verify_command,
)
from envman.cli.making import add_command, build_command, init_command, lock_command, remove_command
from envman.cli.warming import preload_command, top_command
from envman.launch.command import main as exec_main
from envman.launch.components import main as launch_main
from envman.launch.pod import main as pod_main

_HELP = """One Airflow, many interpreters: predefined, locked environments for several teams' Dag bundles.

A spec declares an environment, a lock pins it with hashes, a build makes an immutable generation of it, and
exec starts a command in the interpreter of a bundle. Begin with: envman init
"""
_EPILOG = (
    "Exit codes: 0 done · 1 failed · 2 wrong arguments · 3 wrong spec · 4 lock missing or stale · "
    "5 unsatisfiable · 6 build failed · 7 no answer for a bundle · "
    "8 root folder damaged or not writable · 9 image · 130, 143 interrupted"
)

app = typer.Typer(
    name="envman",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"envman {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version_option: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """The options of envman itself; its help text is the app's."""


_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}
"""The launch commands are listed for --help: `envman.__main__` sends them off before this is imported."""


@app.command("exec", add_help_option=False, context_settings=_PASSED_ON)
def _exec(context: typer.Context) -> None:
    """Replace this process with a command in a bundle's environment."""
    raise typer.Exit(exec_main(context.args))


@app.command("launch", add_help_option=False, context_settings=_PASSED_ON)
def _launch(context: typer.Context) -> None:
    """Start an Airflow component whose parses, tasks and triggers run in their bundles' interpreters."""
    raise typer.Exit(launch_main(context.args))


@app.command("pod-entrypoint", add_help_option=False, context_settings=_PASSED_ON)
def _pod_entrypoint(context: typer.Context) -> None:
    """Entrypoint of an image with several environments, for Airflow's Kubernetes pods."""
    raise typer.Exit(pod_main(context.args))


_COMMANDS: dict[str, Callable[..., None]] = {
    "init": init_command,
    "lock": lock_command,
    "build": build_command,
    "publish": publish_command,
    "resolve": resolve_command,
    "add": add_command,
    "remove": remove_command,
    "list": list_command,
    "diff": diff_command,
    "history": history_command,
    "rollback": rollback_command,
    "gc": gc_command,
    "prune": prune_command,
    "verify": verify_command,
    "export": export_command,
    "wheelhouse": wheelhouse_command,
    "audit": audit_command,
    "licenses": licenses_command,
    "sbom": sbom_command,
    "doctor": doctor_command,
    "check": check_command,
    "preload": preload_command,
    "top": top_command,
    "airflow-config": airflow_config_command,
    "schema": schema_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(image_app)


def main() -> None:
    """Run the command line with the process's arguments."""
    app()
