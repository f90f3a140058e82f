"""`envman image engines`."""

from __future__ import annotations

import typer

from envman.cli.options import (
    JsonOption,
)
from envman.cli.output import Reporter
from envman.errors import ExitCode
from envman.system.processes import Processes
from envman.usecases.images.image_engines import EngineState, probe_engines


def image_engines_command(as_json: JsonOption = False) -> None:
    """Show which engines of `envman image build` work on this machine, and what the others lack.

    Ends with 1 where none works.
    """
    reporter = Reporter("image engines", as_json)
    with reporter.errors():
        states = probe_engines(Processes())
        works = any(one.works for one in states)
        if as_json:
            reporter.result(states)
        else:
            _show_engines(reporter, states)
        raise typer.Exit(ExitCode.OK if works else ExitCode.FAILED)


def _show_engines(reporter: Reporter, states: tuple[EngineState, ...]) -> None:
    rows = [
        (
            one.engine,
            "works" if one.works else f"lacks {', '.join(one.missing)}",
            ", ".join(f"{name} {version}" for name, version in one.programs.items()) or "-",
        )
        for one in states
    ]
    reporter.table(("engine", "state", "programs"), rows)
    for one in states:
        if one.remedy:
            reporter.note(f"{one.engine}: {one.remedy}")
