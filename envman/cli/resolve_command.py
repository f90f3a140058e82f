"""`envman resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    BundleOption,
    EnvironmentOption,
    JsonOption,
    ProjectOption,
    RootOption,
    TeamOption,
    find_answers,
    root_folder,
)
from envman.cli.output import Reporter
from envman.errors import Problem, UsageError
from envman.usecases.resolve import ResolveOutcome, resolve


def resolve_command(
    bundle: BundleOption = None,
    team: TeamOption = None,
    environment: EnvironmentOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the way to the answer.")] = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which environment and interpreter a bundle or team has, and why.

    It is the answer that `envman exec` acts on: from what is published, and from Airflow's configuration.

    Examples: envman resolve --bundle bundle_a · envman resolve --team team_b --explain
    """
    reporter = Reporter("resolve", as_json)
    with reporter.errors():
        kind, name = _one_of(bundle, team, environment)
        declared = find_answers(project, reporter, name if kind == "environment" else None)
        outcome = resolve(root_folder(root, project), kind, name, declared)
        if as_json:
            reporter.result(outcome)
        else:
            _show_resolution(reporter, outcome, explain)
        if not outcome.published:
            reporter.note("envman.toml says something else by now; it counts after: envman build")


def _one_of(bundle: str | None, team: str | None, environment: str | None) -> tuple[str, str]:
    given = {"bundle": bundle, "team": team, "environment": environment}
    asked = [(kind, name) for kind, name in given.items() if name is not None]
    if len(asked) != 1:
        what = "name one of --bundle, --team and --environment"
        raise UsageError(Problem("", what, "For example: envman resolve --bundle bundle_a"))
    return asked[0]


def _show_resolution(reporter: Reporter, outcome: ResolveOutcome, explain: bool) -> None:
    asked = {} if outcome.kind == "environment" else {outcome.kind: outcome.name}
    cells = asked | {
        "environment": outcome.environment,
        "interpreter": outcome.interpreter,
        "generation": outcome.generation,
        "python": outcome.python,
    }
    reporter.table(list(cells), [list(cells.values())])
    if explain:
        for number, step in enumerate(outcome.steps, start=1):
            reporter.say(f"{number}. {step}")
    else:
        reporter.say(f"Why: {outcome.steps[-2]}")
