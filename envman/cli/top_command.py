"""`envman top`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envman.cli.options import JsonOption
from envman.cli.output import PlainOutput, Reporter, size_text
from envman.servers.figures import ServerRow, Total
from envman.usecases.top import TopOutcome, Watch, moment, top

if TYPE_CHECKING:
    from rich.console import RenderableType

_NUMBERS = ("pid", "children", "cpu %", "memory", "a minute", "workloads", "crashes", "idle s")
_COLUMNS = ("environment", "generation", *_NUMBERS, "up since", "")


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
        elif once or isinstance(reporter.out, PlainOutput):
            _show_servers(reporter, top(run_folder))
        else:
            from envman.cli.live import watch  # which imports rich

            watch(reporter.out.console, Watch(run_folder).look, _picture, interval)


def _show_servers(reporter: Reporter, outcome: TopOutcome) -> None:
    if not outcome.servers:
        reporter.say(_none(outcome))
        return
    reporter.table(_COLUMNS, _rows(outcome), right=_NUMBERS)


def _none(outcome: TopOutcome) -> str:
    return f"No fork server runs here: no socket in {outcome.folder} answers."


def _picture(outcome: TopOutcome) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from envman.cli.terminal import terminal_table

    hint = Text("q: quit", style="dim")
    if not outcome.servers:
        return Group(Text(_none(outcome)), hint)
    return Group(terminal_table(_COLUMNS, _rows(outcome), _NUMBERS), hint)


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
        "-" if row.idle is None or row.idle_limit is None else f"{row.idle:.0f} of {row.idle_limit:.0f}",
        moment(row.started) or "-",
        f"{row.problem} ({Path(row.socket).name})" if nothing else "",
    )


def _total(total: Total) -> tuple[str, ...]:
    memory = _memory(total.rss, total.pss)
    numbers = (total.last_minute, total.workloads, total.crashes)
    budget = total.budget and f"the servers' own memory: {size_text(total.own)} of {size_text(total.budget)}"
    return (
        *("total", "", "", str(total.children), _cpu(total.cpu), memory, *map(str, numbers)),
        *("", "", budget or ""),
    )


def _cpu(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.1f}"


def _memory(rss: int | None, pss: int | None) -> str:
    return size_text(pss) if pss is not None else f"≤ {size_text(rss)}"
