"""`envman export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    OfflineOption,
    ProjectOption,
    require_workspace,
    source,
)
from envman.cli.output import Reporter, write
from envman.system.files import write_atomic
from envman.usecases.export import ExportFormat, export


def export_command(
    environment: EnvironmentName,
    to: Annotated[
        ExportFormat, typer.Option("--format", help="pylock (PEP 751) or requirements.")
    ] = ExportFormat.PYLOCK,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of printing.")
    ] = None,
    offline: OfflineOption = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an environment's lock in another format.

    A pylock.toml (PEP 751) names the files' addresses at the index that uv is configured for.

    Example: envman export env_a --format pylock -o pylock.env_a.toml
    """
    reporter = Reporter("export", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        beside = output.parent if output else Path()
        outcome = export(workspace, environment, to, source(workspace, offline), beside)
        if outcome.unsaid:
            reporter.note(outcome.unsaid)
        if as_json:
            reporter.result(outcome)
        elif output:
            write_atomic(output, outcome.text)
            reporter.note(f"wrote {output}")
        else:
            write(sys.stdout, outcome.text)
