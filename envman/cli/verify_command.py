"""`envman verify`."""

from __future__ import annotations

import typer

from envman.cli.options import (
    Environments,
    JsonOption,
    ProjectOption,
    RootOption,
    root_folder,
)
from envman.cli.output import Reporter
from envman.errors import ExitCode, Problem
from envman.signing.policy_file import policy_file
from envman.store.sealing import refusals
from envman.store.verification import VerifyOutcome, verify


def verify_command(
    environments: Environments = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every file of the current generations, and say what changed since the build.

    Names each changed, missing or added file, each of the environment's own that a package has replaced, and
    a base interpreter that is gone; ends with 8 if there is any. Where a policy stands, it ends with 10 if
    they are not signed.

    Example: envman verify env_a
    """
    reporter = Reporter("verify", as_json)
    with reporter.errors():
        store = root_folder(root, project)
        outcomes = verify(store, environments or [])
        problems = [problem for outcome in outcomes for problem in _verify_problems(outcome)]
        code = ExitCode.STORE if problems else ExitCode.POLICY
        if policy := policy_file():
            problems += refusals(store, ((one.environment, one.generation) for one in outcomes), policy)
        if as_json:
            reporter.json([_verify_row(outcome) for outcome in outcomes], problems, ok=not problems)
        else:
            for outcome in outcomes:
                state = f"{len(outcome.differences)} differ" if outcome.differences else "unaltered"
                reporter.say(f"{outcome.environment}: {outcome.generation}, {outcome.files} files, {state}")
            reporter.problems(problems)
        if problems:
            raise typer.Exit(code)


def _verify_row(outcome: VerifyOutcome) -> dict[str, object]:
    listed = [{"kind": difference.kind, "path": difference.path} for difference in outcome.differences]
    return {
        "environment": outcome.environment,
        "generation": outcome.generation,
        "files": outcome.files,
        "differences": listed,
    }


def _verify_problems(outcome: VerifyOutcome) -> list[Problem]:
    words = {
        "changed": "was changed",
        "missing": "is missing",
        "added": "was added",
        "lost": "leads to the base interpreter, which is gone: ",
        "replaced": "is the environment's own, and was brought by the package ",
    }
    listed = [
        Problem(f"{outcome.environment}/{difference.path}", words[difference.kind] + difference.by)
        for difference in outcome.differences
    ]
    if listed:
        remedy = f"Find out who wrote there; build it anew with: envman build {outcome.environment} --rebuild"
        if all(difference.kind == "lost" for difference in outcome.differences):
            remedy = f"Install it again; or build with another one: envman build {outcome.environment}"
        listed[-1].remedy = remedy
    return listed
