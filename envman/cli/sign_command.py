"""`envman sign`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    Environments,
    JsonOption,
    ProjectOption,
    require_workspace,
)
from envman.cli.output import Reporter
from envman.signing.policy_file import policy_file
from envman.usecases.sign import sign_declared


def sign_command(
    environments: Environments = None,
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="KEY", help="A private ssh key's file; or a public key's, for one in ssh-agent."
        ),
    ] = ...,  # type: ignore[assignment]  # typer's way to say that there is no default
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign locks with their specs, and envman.toml, for hosts whose policy asks for it.

    A signature stands beside what it is of, in env_a.lock.sig; envman.toml is signed where no environment is
    named. ssh-keygen signs, and asks for a passphrase. What is built, `envman build --sign` signs.

    Examples: envman sign --key ~/.ssh/ci · envman sign env_a --key K
    """
    reporter = Reporter("sign", as_json)
    with reporter.errors():
        outcomes = sign_declared(require_workspace(project, None), environments or [], key, policy_file())
        if as_json:
            reporter.result(outcomes)
        else:
            for outcome in outcomes:
                whose = f"{outcome.environment}: " if outcome.environment else ""
                reporter.say(f"{whose}{outcome.signed}, signed")
