"""`envman add` and `envman remove`: edit a spec's dependencies and its lock, both or neither."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from envman.spec.dependencies import add_dependencies, remove_dependencies
from envman.spec.merge import ENVIRONMENTS
from envman.spec.workspace import Workspace, open_workspace
from envman.system.events import Report
from envman.system.files import write_atomic
from envman.system.waiting import take_lock
from envman.usecases.lock import LockOptions, LockOutcome, lock


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
    with alone(workspace):
        text = workspace.files.read(environment.file)
        edited = add_dependencies(text, environment.file, requirements)
        return _apply(workspace, name, edited, tuple(requirements), options, report)


def remove(
    workspace: Workspace, name: str, packages: Sequence[str], options: LockOptions, report: Report
) -> EditOutcome:
    """Take packages out of an environment's own dependencies; raises EnvmanError."""
    environment = workspace.choose([name])[0]
    with alone(workspace):
        text = workspace.files.read(environment.file)
        edited, removed = remove_dependencies(text, environment.file, packages)
        return _apply(workspace, name, edited, removed, options, report)


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Wait until no other command edits a spec of this project: it would write over what the first has added.

    The lock is the folder's, as a spec's file is replaced.
    """
    folder = workspace.files.directory / ENVIRONMENTS
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        take_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


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
