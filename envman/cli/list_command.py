"""`envman list`."""

from __future__ import annotations

import os

from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    find_workspace,
    root_folder,
)
from envman.cli.output import Reporter, size_text
from envman.usecases.list import EnvironmentRow, list_environments


def list_command(project: ProjectOption = None, root: RootOption = None, as_json: JsonOption = False) -> None:
    """List environments: Python, packages, lock, generation, size, bundles.

    Example: envman list --json
    """
    reporter = Reporter("list", as_json)
    with reporter.errors():
        rows = list_environments(root_folder(root, project), find_workspace(project, reporter), os.environ)
        if as_json:
            reporter.result(rows)
            return
        columns = (
            "environment",
            "python",
            "interpreter",
            "packages",
            "lock",
            "generation",
            "size",
            "bundles",
            "teams",
        )
        cells = [
            (
                row.environment,
                row.requires_python or "not declared",
                row.interpreter or "not built",
                "-" if row.packages is None else str(row.packages),
                _lock_text(row),
                f"{row.generation} (held)" if row.hold else row.generation or "-",
                size_text(row.size),
                ", ".join(row.bundles) or "-",
                ", ".join(row.teams) or "-",
            )
            for row in rows
        ]
        reporter.table(columns, cells, right=("packages", "size"))
        for row in rows:
            if row.hold:
                reporter.note(f"{row.environment} is {row.hold.describe()}")


def _lock_text(row: EnvironmentRow) -> str:
    """The lock's state; one that is fresh and not what runs needs a build."""
    return f"{row.lock}, not built" if row.is_behind else row.lock or "-"
