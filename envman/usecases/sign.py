"""`envman sign`: sign locks with their specs, and envman.toml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from envman.errors import LockError
from envman.lock.lock_state import state_to_spec
from envman.lock.signatures import lock_statement, project_statement, signature_file
from envman.signing.keys import sign
from envman.signing.signers import PROJECTS, check_signed
from envman.spec.workspace import Workspace
from envman.system.files import write_atomic


@dataclass(frozen=True)
class SignOutcome:
    """What was signed, by its file: the lock of an environment, or envman.toml (whose one is None)."""

    environment: str | None
    signed: str


def sign_declared(
    workspace: Workspace, names: Iterable[str], key: str, policy: str | None
) -> tuple[SignOutcome, ...]:
    """Sign the locks of environments with their specs; where none is named, of all, and envman.toml. All of
    it or nothing.

    Raises LockError for a lock that does not answer its spec, PolicyError where the key can't sign or where
    the policy does not allow it, UsageError.
    """
    names = tuple(names)
    environments = workspace.choose(names)
    states = [state_to_spec(workspace, environment) for environment in environments]
    if problems := [state.problem for state, _ in states if state.problem]:
        raise LockError(problems)
    statements = [] if names else [project_statement(workspace)]
    statements += [lock_statement(one, text) for one, (_, text) in zip(environments, states, strict=True)]
    signatures = sign(key, statements)
    if policy:
        for statement, signature in zip(statements, signatures, strict=True):
            check_signed(policy, statement, signature)
    for statement, signature in zip(statements, signatures, strict=True):
        write_atomic(workspace.files.directory / signature_file(statement.file), signature.decode())
    return tuple(
        SignOutcome(None if one.identity == PROJECTS else one.identity, one.file) for one in statements
    )
