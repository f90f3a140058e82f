"""`envman add` and `envman remove`: edit a spec's dependencies and its lock, both or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envman.files import write_atomic
from envman.spec.edit import add_dependencies, remove_dependencies
from envman.usecases.events import Report
from envman.usecases.lock import LockOptions, LockOutcome, lock
from envman.usecases.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class EditOutcome:
    """The requirements that were written or taken out, and what that did to the lock."""

    environment: str
    file: str
    requirements: tuple[str, ...]
    lock: LockOutcome


def add(
    workspace: Workspace, name: str, requirements: Sequence[str], options: LockOptions, report: Report
) -> EditOutcome:
    """Add requirements to an environment, or replace those of the same package; raises EnvmanError."""
    environment = workspace.choose([name])[0]
    text = workspace.files.read(environment.file)
    edited = add_dependencies(text, environment.file, requirements)
    return _apply(workspace, name, edited, tuple(requirements), options, report)


def remove(
    workspace: Workspace, name: str, packages: Sequence[str], options: LockOptions, report: Report
) -> EditOutcome:
    """Take packages out of an environment's own dependencies; raises EnvmanError."""
    environment = workspace.choose([name])[0]
    text = workspace.files.read(environment.file)
    edited, removed = remove_dependencies(text, environment.file, packages)
    return _apply(workspace, name, edited, removed, options, report)


def _apply(
    workspace: Workspace,
    name: str,
    edited: str,
    requirements: tuple[str, ...],
    options: LockOptions,
    report: Report,
) -> EditOutcome:
    """Lock the edited text first; the spec is written only where that worked."""
    file = workspace.project.environments[name].file
    attempt = open_workspace(Path(workspace.project.directory), {file: edited})
    outcomes = lock(attempt, [name], options, report)
    outcomes.raise_errors()
    write_atomic(workspace.files.directory / file, edited)
    return EditOutcome(name, file, requirements, outcomes.results[0])
