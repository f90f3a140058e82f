"""What is signed of a project: each lock with what its environment declares, and what envman.toml says.

A lock has the packages alone. What a spec declares besides is run or published, too: commands that read
credentials, variables, modules to preload, checks, users. So none of it changes without a new signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from envman.errors import PolicyError, Problem
from envman.signing.policy_file import policy_file
from envman.signing.signers import LOCK, PROJECTS, Statement, check_signed
from envman.spec.declared import project_digest, spec_digest
from envman.spec.load import PROJECT_FILE
from envman.spec.project import Environment
from envman.spec.workspace import Workspace


def signature_file(signed: str) -> str:
    """Where the signature of a lock, or of envman.toml, stands: beside it."""
    return f"{signed}.sig"


def lock_statement(environment: Environment, text: str) -> Statement:
    """What is signed of a lock: its digest, and that of all that its environment declares."""
    said = {"environment": environment.name, "lock": _of(text), "spec": spec_digest(environment)}
    return Statement(environment.lock_file, LOCK, environment.name, _lines("envman lock", said))


def project_statement(workspace: Workspace) -> Statement:
    """What is signed of a project: what envman.toml says, and uv's configuration, if there is one."""
    project = workspace.project
    said = {"project": project_digest(project)}
    if project.uv_config:
        relative = project.uv_config.removeprefix(f"{workspace.files.directory}/")
        said["uv"] = _of(_read(workspace, relative, "") or "")
    return Statement(PROJECT_FILE, LOCK, PROJECTS, _lines("envman project", said))


def check_project(workspace: Workspace) -> None:
    """Where a policy stands: raises PolicyError unless what envman.toml says is signed."""
    if policy := policy_file():
        _check(workspace, policy, project_statement(workspace))


def check_lock(workspace: Workspace, environment: Environment, text: str) -> None:
    """Where a policy stands: raises PolicyError unless a lock is signed with this text and its spec."""
    if policy := policy_file():
        _check(workspace, policy, lock_statement(environment, text))


def check_declared(workspace: Workspace) -> None:
    """Where a policy stands: raises PolicyError unless all that the table is made of is signed.

    That is what envman.toml says, and the spec of each environment, built or not.
    """
    check_project(workspace)
    problems: list[Problem] = []
    for environment in workspace.project.environments.values() if policy_file() else ():
        try:
            check_lock(
                workspace, environment, _read(workspace, environment.lock_file, environment.name) or ""
            )
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)


def _check(workspace: Workspace, policy: str, statement: Statement) -> None:
    file = signature_file(statement.file)
    signature = _read(workspace, file, "" if statement.identity == PROJECTS else statement.identity)
    check_signed(policy, statement, None if signature is None else signature.encode())


def _read(workspace: Workspace, file: str, environment: str) -> str | None:
    """A file's text, None where there is none; raises PolicyError where it can't be read."""
    try:
        return workspace.files.read(file)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        remedy = f"Mend it, and sign it again: envman sign {environment}".strip()
        raise PolicyError(Problem(file, f"can't be read: {why}", remedy)) from None


def _of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _lines(first: str, said: Mapping[str, str]) -> bytes:
    return "".join(
        f"{line}\n" for line in (first, *(f"{key}: {value}" for key, value in said.items()))
    ).encode()
