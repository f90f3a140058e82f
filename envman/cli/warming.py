"""The commands for the fork servers: top, preload."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from envman.cli.live import watch
from envman.cli.options import EnvironmentName, JsonOption, ProjectOption, RootOption, root_folder
from envman.cli.output import Reporter, make_table, size_text
from envman.errors import ExitCode, Problem, UsageError
from envman.figures.preloads import Module
from envman.figures.servers import ServerRow, Total
from envman.processes import Processes, stop_signals
from envman.usecases.preload import PreloadOutcome, PreloadRequest, preload
from envman.usecases.top import TopOutcome, Watch, moment, top

_TOP = (
    *("environment", "generation", "pid", "children", "cpu %", "memory", "a minute", "workloads", "crashes"),
    *("up since", ""),
)
_TOP_RIGHT = ("pid", "children", "cpu %", "memory", "a minute", "workloads", "crashes")


def top_command(
    interval: Annotated[
        float, typer.Option(min=0.5, metavar="SECONDS", help="Seconds between two pictures.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table, and end.")] = False,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder of the servers' sockets. Default: that of this user's components."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the fork servers of this host: what they do, and what they use.

    A line for each server, drawn anew until q or Ctrl-C; without a terminal one table. CPU is in percent of
    one processor, for the server and all processes below it. Memory counts a page that they share once; who
    is not root sees an upper bound (≤). Servers of another user: as that user, or as root with --run-folder.

    Examples: envman top · envman top --once · envman top --json · envman top --run-folder /tmp/envman-50000
    """
    reporter = Reporter("top", as_json)
    with reporter.errors():
        if as_json:
            reporter.json(top(run_folder).document())
        elif once or not reporter.out.is_terminal:
            _show_servers(reporter, top(run_folder))
        else:
            watch(reporter.out, Watch(run_folder).look, _picture, interval)


def _show_servers(reporter: Reporter, outcome: TopOutcome) -> None:
    if not outcome.servers:
        reporter.say(_none(outcome))
        return
    reporter.table(_TOP, _rows(outcome), right=_TOP_RIGHT)


def _none(outcome: TopOutcome) -> str:
    return f"No fork server runs here: no socket in {outcome.folder} answers."


def _picture(outcome: TopOutcome) -> RenderableType:
    hint = Text("q: quit", style="dim")
    if not outcome.servers:
        return Group(Text(_none(outcome)), hint)
    return Group(make_table(_TOP, _rows(outcome), right=_TOP_RIGHT, terminal=True), hint)


def _rows(outcome: TopOutcome) -> list[tuple[str, ...]]:
    return [*(_server(row) for row in outcome.servers), _total(outcome.total)]


def _server(row: ServerRow) -> tuple[str, ...]:
    nothing = row.problem != ""
    return (
        row.environment or "?",
        row.generation or "-",
        str(row.pid or "-"),
        "-" if nothing else str(len(row.children)),
        _cpu(row.cpu),
        "-" if nothing else _memory(row.rss, row.pss),
        *("-" if number is None else str(number) for number in (row.last_minute, row.workloads, row.crashes)),
        moment(row.started) or "-",
        f"{row.problem} ({Path(row.socket).name})" if nothing else "",
    )


def _total(total: Total) -> tuple[str, ...]:
    memory = _memory(total.rss, total.pss)
    numbers = (total.last_minute, total.workloads, total.crashes)
    return ("total", "", "", str(total.children), _cpu(total.cpu), memory, *map(str, numbers), "", "")


def _cpu(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.1f}"


def _memory(rss: int | None, pss: int | None) -> str:
    return size_text(pss) if pss is not None else f"≤ {size_text(rss)}"


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
    processes = Processes()
    with reporter.errors(), stop_signals(processes):
        if path and not suggest:
            raise UsageError(Problem("--path", "is for --suggest", "Add --suggest, or leave it out."))
        request = PreloadRequest(environment, suggest, tuple(path or ()))
        outcome = preload(root_folder(root, project), request, processes, os.environ, _pass_on)
        problems = outcome.problems()
        if as_json:
            reporter.json(outcome.document(), problems, ok=not problems)
        else:
            _show_preload(reporter, outcome)
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.FAILED)


def _pass_on(line: str) -> None:
    sys.stderr.write(f"{line}\n")


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
