"""`envman preload`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import EnvironmentName, JsonOption, ProjectOption, RootOption, root_folder
from envman.cli.output import Reporter, pass_on, size_text
from envman.errors import ExitCode, Problem, UsageError
from envman.servers.preloads import Module
from envman.system.processes import Processes
from envman.usecases.preload import PreloadOutcome, PreloadRequest, preload


def preload_command(
    environment: EnvironmentName,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Measure what the files of its bundles import, and suggest.")
    ] = False,
    path: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", help="With --suggest: also the files of this bundle's folder. Repeatable."
        ),
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an environment's fork server preloads, or with --suggest what would be worth it.

    Each module is imported in a process of its own, on top of what every fork server imports: how long it
    takes, how much memory it adds, and whether a fork may share it. --suggest reads the imports of the files
    of the environment's local bundles (those of Airflow's configuration, and --path), and runs none of them.

    Ends with 1 where the fork server could not start with what is published.

    Examples: envman preload env_a · envman preload env_a --suggest ·
    envman preload env_a --suggest --path checkout/bundle_a --json
    """
    reporter = Reporter("preload", as_json)
    with reporter.errors():
        if path and not suggest:
            raise UsageError(Problem("--path", "is for --suggest", "Add --suggest, or leave it out."))
        request = PreloadRequest(environment, suggest, tuple(path or ()))
        outcome = preload(root_folder(root, project), request, Processes(), os.environ, pass_on)
        problems = outcome.problems()
        if as_json:
            reporter.json(outcome.document(), problems, ok=not problems)
        else:
            _show_preload(reporter, outcome)
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.FAILED)


def _show_preload(reporter: Reporter, outcome: PreloadOutcome) -> None:
    if outcome.suggestion is None:
        columns: tuple[str, ...] = ("module", "import", "memory", "")
        rows = [_preloaded(one) for one in outcome.modules]
    else:
        columns = ("module", "files", "import", "a loop", "memory", "")
        rows = [_suggested(one, outcome) for one in outcome.modules]
    if rows:
        reporter.table(columns, rows, right=("files", "import", "a loop", "memory"))
    reporter.say(_sentence(outcome))
    if not outcome.warm:
        reporter.note(f"{outcome.environment} has no fork server (warm = false), so nothing is preloaded.")
    for bundle in outcome.other_bundles:
        reporter.note(
            f"Not looked at: the bundle '{bundle}' is no local folder; pass its checkout as --path."
        )
    for file, why in outcome.skipped:
        reporter.note(f"warning: {file}: {why}")
    if outcome.suggestion:
        reporter.say(f"preload = {json.dumps(list(outcome.suggestion))}")


def _sentence(outcome: PreloadOutcome) -> str:
    where = f"{outcome.environment}, {outcome.interpreter}, Airflow {outcome.airflow}"
    if outcome.suggestion is None:
        if outcome.modules:
            return f"{len(outcome.modules)} modules are preloaded besides Airflow's, in {where}"
        return f"{where}: nothing is preloaded besides Airflow's modules; see: --suggest"
    looked = f"{outcome.files} files in {where}"
    if outcome.suggestion:
        return f"{looked}; for environments/{outcome.environment}.toml:"
    return f"{looked}: no module is worth preloading"


def _preloaded(module: Module) -> tuple[str, ...]:
    return (module.module, *_costs(module), module.problem or "ok")


def _suggested(module: Module, outcome: PreloadOutcome) -> tuple[str, ...]:
    seconds, memory = _costs(module)
    suggestion = outcome.suggestion or ()
    brought_by = [
        one.module for one in outcome.modules if one.module in suggestion and module.module in one.brings
    ]
    state = module.problem
    if not state and module.module in suggestion:
        state = "preloaded" if module.preloaded else "suggested"
    elif not state and brought_by:
        state = f"comes with {brought_by[0]}"
    return (module.module, str(module.files), seconds, f"{module.saved:.2f} s", memory, state)


def _costs(module: Module) -> tuple[str, str]:
    if module.seconds is None:
        return "-", "-"
    return f"{module.seconds * 1000:.0f} ms", size_text(module.memory)
