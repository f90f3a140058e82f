"""`envman publish`."""

from __future__ import annotations

from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    SignOption,
    require_workspace,
)
from envman.cli.output import Reporter
from envman.signing.policy_file import policy_file
from envman.store.sealing import Seal
from envman.usecases.publish import publish


def publish_command(
    sign: SignOption = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish what envman.toml says about bundles and teams, without building anything.

    For a host on which no environment is built, such as a scheduler whose pods have an image for each, and
    for bundles that come, go or move between teams. `envman build` publishes, too.

    Examples: envman publish · envman publish --root /srv/envman · envman publish --sign ci_key
    """
    reporter = Reporter("publish", as_json)
    with reporter.errors():
        outcome = publish(require_workspace(project, root), Seal(sign, policy_file()))
        if as_json:
            reporter.result(outcome)
            return
        did = "published" if outcome.changed else "unchanged"
        counts = f"{outcome.bundles} bundles, {outcome.teams} teams, {outcome.environments} environments"
        reporter.say(f"{outcome.table}: {did}, {counts}")
        if outcome.not_built:
            reporter.note(f"Not built in {outcome.root}: {', '.join(outcome.not_built)}")
