"""`envman rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.completion import complete_generation
from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    ProjectOption,
    RootOption,
    root_folder,
)
from envman.cli.output import Reporter
from envman.signing.policy_file import policy_file
from envman.usecases.rollback import RollbackRequest, rollback


def rollback_command(
    environment: EnvironmentName,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="GENERATION",
            help="The generation to go back to.",
            autocompletion=complete_generation,
        ),
    ] = None,
    hold: Annotated[
        str | None,
        typer.Option("--hold", metavar="REASON", help="Hold it there until `envman unhold`, and say why."),
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch an environment back to the generation that it had before.

    Running processes stay in theirs; what is started from now on runs in the older one. The next
    `envman build` publishes the lock again, so correct the lock, too, or hold the environment.

    Examples: envman rollback env_a · envman rollback env_a --to 3f9c2a7b10de ·
    envman rollback env_a --hold "pandas 2 breaks sales"
    """
    reporter = Reporter("rollback", as_json)
    with reporter.errors():
        outcome = rollback(root_folder(root, project), environment, RollbackRequest(to, policy_file(), hold))
        if as_json:
            reporter.result(outcome)
        else:
            what = f"{outcome.environment}: {outcome.old} -> {outcome.new} ({outcome.interpreter})"
            reporter.say(f"{what}, in {outcome.milliseconds:.1f} ms")
