"""`envman run --dev` and `shell --dev`: build the dev overlay unless it is there, and become the command.

Their words are read as without --dev, by `envman.launch.author_commands`, and not by typer.
"""

from __future__ import annotations

import os

from envman.build.overlay import Overlay, dev_overlay, overlay_tools
from envman.cli import lifetime
from envman.cli.options import require_workspace, source
from envman.cli.output import Reporter
from envman.errors import EnvmanError
from envman.launch.author_commands import parse, refuse, start, with_bundle
from envman.launch.command import Request, airflow_bundles, resolve
from envman.resolver.snapshot import Snapshot
from envman.store.folder import Store
from envman.store.root import take_snapshot
from envman.system.events import Event
from envman.system.files import file_problem


def main(command: str, arguments: list[str]) -> int:
    """Run a command in its environment's dev overlay; returns an exit code only where that fails."""
    lifetime.take_umask()
    try:
        with lifetime.whole_command():
            request, snapshot, overlay = _prepared(command, arguments)
    except EnvmanError as error:
        return refuse(command, error)
    except OSError as error:
        return refuse(command, EnvmanError(file_problem("", error)))
    os.umask(lifetime.CALLERS.umask)
    try:
        return start(command, request, snapshot, overlay.folder)
    except EnvmanError as error:
        return refuse(command, error)


def _prepared(command: str, arguments: list[str]) -> tuple[Request, Snapshot, Overlay]:
    request = with_bundle(parse(command, arguments))
    reporter = Reporter(command)
    workspace = require_workspace(None, request.root)
    snapshot = take_snapshot(workspace.project.root, airflow_bundles)
    (environment,) = workspace.choose([resolve(snapshot, request).environment])
    told: list[Event] = []

    def report(event: Event) -> None:
        if not told:
            reporter.note(f"envman {command}: building the dev overlay of '{environment.name}'")
        if event.warning:
            reporter.note(f"envman {command}: {event.detail}")
        told.append(event)

    tools = overlay_tools(workspace, source(workspace, offline=False))
    overlay = dev_overlay(workspace, environment, Store(workspace.project.root), tools, report)
    overlay.check_below(snapshot.generation(environment.name))
    return request, snapshot, overlay
