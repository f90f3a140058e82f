"""`envman hold`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import EnvironmentName, JsonOption, ProjectOption, RootOption, root_folder
from envman.cli.output import Reporter
from envman.usecases.hold import hold


def hold_command(
    environment: EnvironmentName,
    reason: Annotated[
        str, typer.Argument(metavar="REASON", help="Why, and until when: at most 200 characters.")
    ],
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep an environment in its current generation: builds and pulls don't switch it.

    `build` and `pull` say so and go on with the other environments; `list` and `doctor` show the hold.

    Example: envman hold env_a "pandas 2 breaks sales, until the fix of Tuesday"
    """
    reporter = Reporter("hold", as_json)
    with reporter.errors():
        outcome = hold(root_folder(root, project), environment, reason)
        if as_json:
            reporter.result(outcome)
        else:
            reporter.say(f"{environment} stays in {outcome.generation} until: envman unhold {environment}")
            if outcome.replaced:
                reporter.note(f"This replaces an older hold: {outcome.replaced.describe()}")
