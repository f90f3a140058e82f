"""The commands of upkeep: rollback, gc, export, wheelhouse."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    OfflineOption,
    ProjectOption,
    PythonOption,
    RootOption,
    require_workspace,
    root_folder,
    source,
)
from envman.cli.output import Reporter, size_text
from envman.cli.progress import progress
from envman.files import write_atomic
from envman.usecases.prune import prune
from envman.usecases.transfer import ExportFormat, export, fill_wheelhouse
from envman.usecases.upkeep import collect, forget_undeclared, rollback


def rollback_command(
    environment: EnvironmentName,
    to: Annotated[
        str | None, typer.Option("--to", metavar="GENERATION", help="The generation to go back to.")
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch an environment back to the generation that it had before.

    Running processes stay in theirs; what is started from now on runs in the older one. The next
    `envman build` publishes the lock again, so correct the lock, too.

    Examples: envman rollback env_a · envman rollback env_a --to 3f9c2a7b10de
    """
    reporter = Reporter("rollback", as_json)
    with reporter.errors():
        outcome = rollback(root_folder(root, project), environment, to)
        if as_json:
            reporter.result(outcome)
        else:
            what = f"{outcome.environment}: {outcome.old} -> {outcome.new} ({outcome.interpreter})"
            reporter.say(f"{what}, in {outcome.milliseconds:.1f} ms")


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
        if rows:
            reporter.table(("generation", "", "why", "size"), rows, right=("size",))
        freed = sum(item.size or 0 for item in outcome.removed)
        reporter.say(f"{len(outcome.removed)} {goes}, {len(outcome.kept)} kept, {size_text(freed)}")


def prune_command(
    days: Annotated[
        int, typer.Option(min=1, metavar="N", help="Keep what was used in the last N days.")
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove from envman's cache what no build has used for some days: images, bases, layers, bytecode.

    What goes is made again when it is needed, with the same digests. Generations are gc's business.

    Example: envman prune --days 7 --dry-run
    """
    reporter = Reporter("prune", as_json)
    with reporter.errors():
        outcome = prune(days, dry_run)
        if as_json:
            reporter.result(outcome)
            return
        rows = [(one.what.value, one.name, size_text(one.size), str(one.days)) for one in outcome.unused]
        if rows:
            reporter.table(("what", "name", "size", "days"), rows, right=("size", "days"))
        goes = "would go" if dry_run else "removed"
        freed = sum(one.size for one in outcome.unused)
        reporter.say(f"{outcome.folder}: {len(rows)} {goes}, {size_text(freed)}")


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
        outcome = export(workspace, environment, to, source(workspace, offline))
        if as_json:
            reporter.result(outcome)
        elif output:
            write_atomic(output, outcome.text)
            reporter.note(f"wrote {output}")
        else:
            sys.stdout.write(outcome.text)


def wheelhouse_command(
    environment: EnvironmentName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to fill.")],
    python: PythonOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download an environment's locked files into a folder, for builds without a network.

    For this platform and the environment's interpreter; every hash is checked.

    Example: envman wheelhouse env_a wheels && envman build env_a --wheelhouse wheels
    """
    reporter = Reporter("wheelhouse", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        config = source(workspace, offline=False).config
        with progress(reporter) as report:
            outcome = fill_wheelhouse(workspace, environment, folder, python, config, report)
        if as_json:
            reporter.result(outcome)
        else:
            reporter.say(
                f"{outcome.files} files for {environment}, {outcome.interpreter}, in {os.fspath(folder)}"
            )
