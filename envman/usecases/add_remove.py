"""`envman add` and `envman remove`: edit a spec and its lock, and build them, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envman.lock.signatures import signature_file
from envman.spec.dependencies import add_dependencies, remove_dependencies
from envman.spec.merge import ENVIRONMENTS
from envman.spec.workspace import Workspace, open_workspace
from envman.store.folder import Store
from envman.system.events import Report
from envman.system.files import write_atomic
from envman.system.waiting import take_lock
from envman.usecases.lock import LockOptions, LockOutcome, lock

if TYPE_CHECKING:
    from envman.usecases.build import BuildOptions, BuildOutcome


@dataclass(frozen=True)
class EditOptions:
    """How to lock what was edited, and how to build it; None: it is not built."""

    lock: LockOptions
    build: BuildOptions | None = None


@dataclass(frozen=True)
class EditOutcome:
    """The requirements that were written or taken out, and what that did to the lock; `build` is None where
    nothing was to be built.
    """

    environment: str
    file: str
    requirements: tuple[str, ...]
    lock: LockOutcome
    build: BuildOutcome | None = None


def add(
    workspace: Workspace, name: str, requirements: Sequence[str], options: EditOptions, report: Report
) -> EditOutcome:
    """Add requirements to an environment, or replace those of the same package; raises EnvmanError."""
    environment = workspace.choose([name])[0]
    with alone(workspace):
        text = workspace.files.read(environment.file)
        edited = add_dependencies(text, environment.file, requirements)
        return _apply(workspace, name, edited, tuple(requirements), options, report)


def remove(
    workspace: Workspace, name: str, packages: Sequence[str], options: EditOptions, report: Report
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
    options: EditOptions,
    report: Report,
) -> EditOutcome:
    """Lock the edited text first; the spec is written only where that worked.

    What can't be built is no change that anybody wants: spec and lock are then as they were before.
    """
    file = workspace.project.environments[name].file
    attempt = open_workspace(Path(workspace.project.directory), {file: edited})
    attempt = attempt.at_root(workspace.project.root)
    with _undone_unless_built(workspace, name, options.build):
        outcomes = lock(attempt, [name], options.lock, report)
        outcomes.raise_errors()
        write_atomic(workspace.files.directory / file, edited)
        outcome = EditOutcome(name, file, requirements, outcomes.results[0])
        if options.build is None:
            return outcome
        from envman.usecases.build import build  # what an edit alone does not need

        builds = build(attempt, [name], options.build, report)
        builds.raise_errors()
        return replace(outcome, build=builds.results[0])


@contextmanager
def _undone_unless_built(workspace: Workspace, name: str, build: BuildOptions | None) -> Iterator[None]:
    """Put back the spec, the lock and its signature where a build fails or is interrupted.

    Not so where the environment's name points to what was built: what is published keeps its lock.
    """
    if build is None:
        yield
        return
    environment = workspace.project.environments[name]
    named = (environment.file, environment.lock_file, signature_file(environment.lock_file))
    files = [workspace.files.directory / one for one in named]
    before = [file.read_bytes() if file.is_file() else None for file in files]
    store = Store(workspace.project.root)
    current = store.current(name)
    try:
        yield
    except BaseException:
        if store.current(name) == current:
            for file, content in zip(files, before, strict=True):
                _put_back(file, content)
        raise


def _put_back(file: Path, content: bytes | None) -> None:
    """Give a file the content that it had, and leave one alone that has it; None: it was not there."""
    if content is None:
        file.unlink(missing_ok=True)
    elif not file.is_file() or file.read_bytes() != content:
        write_atomic(file, content.decode("utf-8", errors="surrogateescape"))
