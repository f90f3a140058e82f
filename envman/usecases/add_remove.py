"""`envman add` and `envman remove`: edit a spec and its locks, and build them, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envman.errors import Problem, UsageError
from envman.lock.signatures import signature_file
from envman.spec.dependencies import add_dependencies, remove_dependencies
from envman.spec.merge import ENVIRONMENTS
from envman.spec.workspace import Workspace, open_workspace
from envman.store.folder import Store
from envman.store.holds import Hold
from envman.system.events import Report
from envman.system.files import write_atomic
from envman.system.waiting import take_lock
from envman.usecases.lock import LockOptions, LockOutcome, lock

if TYPE_CHECKING:
    from envman.usecases.build import BuildOptions, BuildOutcome


@dataclass(frozen=True)
class EditOptions:
    """How to lock what was edited, and how to build it; None: it is not built. `dev`: the list of `[dev]` is
    edited.
    """

    lock: LockOptions
    build: BuildOptions | None = None
    dev: bool = False


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
        edited = add_dependencies(text, environment.file, requirements, options.dev)
        return _apply(workspace, name, edited, tuple(requirements), options, report)


def remove(
    workspace: Workspace, name: str, packages: Sequence[str], options: EditOptions, report: Report
) -> EditOutcome:
    """Take packages out of an environment's own dependencies; raises EnvmanError."""
    environment = workspace.choose([name])[0]
    with alone(workspace):
        text = workspace.files.read(environment.file)
        edited, removed = remove_dependencies(text, environment.file, packages, options.dev)
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

    What can't be locked or built is no change that anybody wants: all files are then as they were before.
    """
    store = Store(workspace.project.root)
    if options.build and (hold := store.hold(name)):
        raise UsageError(_held(name, hold))
    file = workspace.project.environments[name].file
    attempt = open_workspace(Path(workspace.project.directory), {file: edited})
    attempt = attempt.at_root(workspace.project.root)
    with _undone_if_it_fails(workspace, name, store if options.build else None):
        outcomes = lock(attempt, [name], options.lock, report)
        outcomes.raise_errors()
        _write_spec(workspace.files.directory / file, edited)
        outcome = EditOutcome(name, file, requirements, outcomes.results[0])
        if options.build is None:
            return outcome
        from envman.usecases.build import BuildStatus, build  # what an edit alone does not need

        builds = build(attempt, [name], options.build, report)
        builds.raise_errors()
        if builds.results[0].status is BuildStatus.HELD and (hold := store.hold(name)):
            raise UsageError(_held(name, hold))  # somebody held it meanwhile
        return replace(outcome, build=builds.results[0])


def _write_spec(file: Path, edited: str) -> None:
    """Write a spec, or what a link leads to, with its line ends and its rights."""
    spec = file.resolve()
    if b"\r\n" in spec.read_bytes():
        edited = edited.replace("\n", "\r\n")
    write_atomic(spec, edited, spec.stat().st_mode & 0o777)


def _held(name: str, hold: Hold) -> Problem:
    remedy = f"When the reason is gone: envman unhold {name}; or leave --build out, and build later"
    return Problem(f"environment '{name}'", f"is {hold.describe()}", remedy)


@contextmanager
def _undone_if_it_fails(workspace: Workspace, name: str, built_in: Store | None) -> Iterator[None]:
    """Put back the spec, both locks and the signature where locking or building fails or is interrupted.

    Not so where the environment's name points to what was built: what is published keeps its lock.
    """
    environment = workspace.project.environments[name]
    lock_file = environment.lock_file
    named = (lock_file, signature_file(lock_file), environment.dev_lock_file)
    spec = (workspace.files.directory / environment.file).resolve()
    files = [spec, *(workspace.files.directory / one for one in named)]
    before = [file.read_bytes() if file.is_file() else None for file in files]
    current = built_in.current(name) if built_in else None
    try:
        yield
    except BaseException:
        if built_in is None or built_in.current(name) == current:
            for file, content in zip(files, before, strict=True):
                _put_back(file, content)
        raise


def _put_back(file: Path, content: bytes | None) -> None:
    """Give a file the content that it had, and leave one alone that has it; None: it was not there."""
    if content is None:
        file.unlink(missing_ok=True)
    elif not file.is_file() or file.read_bytes() != content:
        write_atomic(file, content, file.stat().st_mode & 0o777 if file.is_file() else 0o644)
