"""`envman history`."""

from __future__ import annotations

from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    ProjectOption,
    RootOption,
    root_folder,
)
from envman.cli.output import Reporter
from envman.usecases.history import history


def history_command(
    environment: EnvironmentName,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which generations an environment had, when, why and by whom, newest first.

    Example: envman history env_a
    """
    reporter = Reporter("history", as_json)
    with reporter.errors():
        rows = history(root_folder(root, project), environment)
        if as_json:
            reporter.result(rows)
            return
        cells = [
            (
                "->" if row.current else "",
                row.generation,
                row.at,
                row.action,
                row.interpreter or "collected",
                "-" if row.packages is None else str(row.packages),
                row.by.describe() or "-",
            )
            for row in rows
        ]
        reporter.table(
            ("", "generation", "at", "action", "interpreter", "packages", "by"), cells, right=("packages",)
        )
