"""`envman hosts`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from envman.cli.options import JsonOption
from envman.cli.output import Reporter
from envman.errors import ExitCode
from envman.spec.image_names import reference_argument
from envman.usecases.hosts import HostState, hosts


def hosts_command(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="The release that hosts pull: registry/path:tag."),
    ] = None,
    ssh: Annotated[
        list[str] | None,
        typer.Option("--ssh", metavar="HOST", help="Ask this host, by ssh; may be given several times."),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="DIR", help="Root folder of hosts that are asked by ssh."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which host has which generation, and which one is behind the release.

    Hosts are those that have left a record beside the release (envman pull --report), and those that are
    asked by ssh. Where no release is named, the hosts are compared with each other.

    Examples: envman hosts registry/airflow/envs:stable · envman hosts --ssh vm_a --ssh vm_b --root /venv
    """
    reporter = Reporter("hosts", as_json)
    with reporter.errors():
        outcome = hosts(reference_argument(source) if source else None, ssh or [], root)
        if as_json:
            rows = [asdict(row) for row in outcome.rows]
            result = {"release": outcome.release, "rows": rows}
            reporter.json(result, outcome.problems, ok=not outcome.problems)
        else:
            columns = ("host", "environment", "generation", "released", "state", "at", "by")
            cells = [
                (
                    row.host,
                    row.environment,
                    row.generation or "-",
                    row.released or "-",
                    row.state.value,
                    row.at,
                    row.by,
                )
                for row in outcome.rows
            ]
            if cells:
                reporter.table(columns, cells)
            behind = {row.host for row in outcome.rows if row.state in {HostState.BEHIND, HostState.MISSING}}
            reporter.say(f"{len({row.host for row in outcome.rows})} hosts, {len(behind)} behind")
            reporter.problems(outcome.problems)
        if outcome.problems:
            raise typer.Exit(ExitCode.FAILED)
