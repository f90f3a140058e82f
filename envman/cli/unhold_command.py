"""`envman unhold`."""

from __future__ import annotations

from envman.cli.options import EnvironmentName, JsonOption, ProjectOption, RootOption, root_folder
from envman.cli.output import Reporter
from envman.usecases.hold import unhold


def unhold_command(
    environment: EnvironmentName,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift the hold of an environment. The next build or pull switches it again.

    Example: envman unhold env_a && envman build env_a
    """
    reporter = Reporter("unhold", as_json)
    with reporter.errors():
        outcome = unhold(root_folder(root, project), environment)
        if as_json:
            reporter.result(outcome)
        elif outcome.hold:
            reporter.say(f"{environment} was {outcome.hold.describe()}")
        else:
            reporter.say(f"{environment} has no hold now")
