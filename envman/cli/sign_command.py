"""`envman sign`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    Environments,
    JsonOption,
    ProjectOption,
    RootOption,
    require_workspace,
    root_folder,
)
from envman.cli.output import Reporter
from envman.signing.policy_file import policy_file
from envman.usecases.sign import SignOutcome, sign_locks, sign_published


def sign_command(
    environments: Environments = None,
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="KEY", help="A private ssh key's file; or a public key's, for one in ssh-agent."
        ),
    ] = ...,  # type: ignore[assignment]  # typer's way to say that there is no default
    published: Annotated[
        bool, typer.Option("--published", help="Sign the current generations and the table, not locks.")
    ] = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign locks, or what is published, for hosts whose policy asks for it.

    A lock's signature stands beside it, in env_a.lock.sig. With --published every file of the generations is
    read first, nothing is signed that is not as it was built. ssh-keygen signs, and asks for a passphrase.

    Examples: envman sign --key ~/.ssh/ci · envman sign env_a --key K · envman sign --published --key K
    """
    reporter = Reporter("sign", as_json)
    with reporter.errors():
        names = environments or []
        if published:
            outcomes = sign_published(root_folder(root, project), names, key, policy_file())
        else:
            outcomes = sign_locks(require_workspace(project, root), names, key, policy_file())
        if as_json:
            reporter.result(outcomes)
        else:
            for outcome in outcomes:
                reporter.say(_said(outcome))


def _said(outcome: SignOutcome) -> str:
    what = f"{outcome.environment}: {outcome.signed}" if outcome.environment else f"the {outcome.signed}"
    return f"{what}, signed"
