"""The commands that only look: resolve, list, diff, history, verify, schema."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    Environments,
    JsonOption,
    ProjectOption,
    RootOption,
    complete_environment,
    find_workspace,
    require_workspace,
    root_folder,
)
from envman.cli.output import Reporter, size_text, versions_text
from envman.errors import ExitCode, Problem, UsageError
from envman.spec.schema import SchemaName, schema_text
from envman.usecases.listing import diff, history, list_environments
from envman.usecases.resolve import ResolveOutcome, resolve
from envman.usecases.upkeep import VerifyOutcome, verify


def resolve_command(
    bundle: Annotated[str | None, typer.Option(metavar="BUNDLE", help="A bundle's name.")] = None,
    team: Annotated[str | None, typer.Option(metavar="TEAM", help="A team's name.")] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            metavar="ENVIRONMENT", help="An environment's name.", autocompletion=complete_environment
        ),
    ] = None,
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
        outcome = resolve(root_folder(root, project), kind, name, find_workspace(project, reporter))
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
                row.lock or "-",
                row.generation or "-",
                size_text(row.size),
                ", ".join(row.bundles) or "-",
                ", ".join(row.teams) or "-",
            )
            for row in rows
        ]
        reporter.table(columns, cells, right=("packages", "size"))


def diff_command(
    left: EnvironmentName,
    right: Annotated[
        str | None,
        typer.Argument(metavar="[OTHER]", help="The other one.", autocompletion=complete_environment),
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the packages of two environments' locks; with one name, what runs with what is locked.

    Examples: envman diff env_a env_b · envman diff env_a
    """
    reporter = Reporter("diff", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        outcome = diff(workspace, root_folder(root, project), left, right)
        if as_json:
            reporter.result(outcome)
        elif outcome.changes:
            rows = [(c.package, versions_text(c.old), versions_text(c.new)) for c in outcome.changes]
            reporter.table(("package", outcome.left, outcome.right), rows)
        else:
            reporter.say(f"{outcome.left} and {outcome.right} hold the same packages")


def history_command(
    environment: EnvironmentName,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which generations an environment had, when and why, newest first.

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
            )
            for row in rows
        ]
        reporter.table(("", "generation", "at", "by", "interpreter", "packages"), cells, right=("packages",))


def verify_command(
    environments: Environments = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every file of the current generations, and say what changed since the build.

    Names each changed, missing or added file; ends with 8 if there is any.

    Example: envman verify env_a
    """
    reporter = Reporter("verify", as_json)
    with reporter.errors():
        outcomes = verify(root_folder(root, project), environments or [])
        problems = [problem for outcome in outcomes for problem in _verify_problems(outcome)]
        if as_json:
            reporter.json([_verify_row(outcome) for outcome in outcomes], problems, ok=not problems)
        else:
            for outcome in outcomes:
                state = f"{len(outcome.differences)} differ" if outcome.differences else "unaltered"
                reporter.say(f"{outcome.environment}: {outcome.generation}, {outcome.files} files, {state}")
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.STORE)


def _verify_row(outcome: VerifyOutcome) -> dict[str, object]:
    listed = [{"kind": difference.kind, "path": difference.path} for difference in outcome.differences]
    return {
        "environment": outcome.environment,
        "generation": outcome.generation,
        "files": outcome.files,
        "differences": listed,
    }


def _verify_problems(outcome: VerifyOutcome) -> list[Problem]:
    words = {"changed": "was changed", "missing": "is missing", "added": "was added"}
    listed = [
        Problem(f"{outcome.environment}/{difference.path}", words[difference.kind])
        for difference in outcome.differences
    ]
    if listed:
        remedy = f"Find out who wrote there; build it anew with: envman build {outcome.environment} --rebuild"
        listed[-1].remedy = remedy
    return listed


def schema_command(
    name: Annotated[SchemaName, typer.Argument(help="Of envman.toml, or of an environment's spec.")],
) -> None:
    """Print the JSON Schema of a file, for editors and checks.

    Example: envman schema environment > environment.schema.json
    """
    sys.stdout.write(schema_text(name))
