"""`envman sign`: sign locks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from envman.errors import LockError
from envman.lock.lock_state import lock_statement, signature_file, state_to_spec
from envman.signing.keys import sign
from envman.signing.signers import check_signed
from envman.spec.workspace import Workspace
from envman.system.files import write_atomic


@dataclass(frozen=True)
class SignOutcome:
    """What was signed: the lock of an environment, by its file."""

    environment: str
    signed: str


def sign_locks(
    workspace: Workspace, names: Iterable[str], key: str, policy: str | None
) -> tuple[SignOutcome, ...]:
    """Sign locks, of all environments where none is named; all of them or none.

    Raises LockError for a lock that does not answer its spec, PolicyError where the key can't sign or where
    the policy does not allow it, UsageError.
    """
    environments = workspace.choose(names)
    states = [state_to_spec(workspace, environment) for environment in environments]
    if problems := [state.problem for state, _ in states if state.problem]:
        raise LockError(problems)
    statements = [lock_statement(one, text) for one, (_, text) in zip(environments, states, strict=True)]
    signatures = sign(key, statements) if statements else []
    if policy:
        for statement, signature in zip(statements, signatures, strict=True):
            check_signed(policy, statement, signature)
    for environment, signature in zip(environments, signatures, strict=True):
        write_atomic(workspace.files.directory / signature_file(environment), signature.decode())
    return tuple(SignOutcome(one.name, one.lock_file) for one in environments)
