"""`envman gc`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    require_workspace,
    root_folder,
)
from envman.cli.output import Reporter, size_text
from envman.usecases.gc import collect, forget_undeclared


def gc_command(
    keep: Annotated[
        int, typer.Option(min=0, metavar="N", help="Generations of each environment to keep.")
    ] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    undeclared: Annotated[
        bool, typer.Option("--undeclared", help="Also drop environments that envman.toml no longer declares.")
    ] = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove generations that nobody needs.

    What stays: current ones, the last N of each environment, those that a live process runs in (also one that
    merely inherited it), those being built. Base interpreters are never touched.

    Example: envman gc --keep 2 --dry-run
    """
    reporter = Reporter("gc", as_json)
    with reporter.errors():
        folder = root_folder(root, project)
        declared = require_workspace(project).project.environments if undeclared else None
        forgotten = forget_undeclared(folder, declared, dry_run) if declared is not None else ()
        outcome = collect(folder, keep, dry_run, forgotten)
        if as_json:
            reporter.result(outcome)
            return
        goes = "would go" if dry_run else "removed"
        rows = [
            (item.generation, goes, item.environment or "half-built", size_text(item.size))
            for item in outcome.removed
        ]
        for name in forgotten:
            reporter.say(f"{name}: no longer declared, {goes}")
        rows += [(item.generation, "kept", "; ".join(item.reasons), "") for item in outcome.kept]
        rows += [(name, goes, "dev overlay", "") for name in outcome.overlays]
        if rows:
            reporter.table(("generation", "", "why", "size"), rows, right=("size",))
        freed = sum(item.size or 0 for item in outcome.removed)
        reporter.say(f"{len(outcome.removed)} {goes}, {len(outcome.kept)} kept, {size_text(freed)}")
