"""`envman export` and `envman wheelhouse`: a lock as another format, and its files as a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from virtualenv.seed.wheels.embed import get_embed_wheel

from envman.errors import BuildError, LockError, Problem
from envman.interpreters import discover
from envman.lock.lockfile import parse_lock
from envman.processes import stop_signals
from envman.usecases.events import Event, Report, Stage
from envman.usecases.lock_state import lock_state, read_lock_text
from envman.usecases.workspace import Workspace
from envman.uv.indexes import pip_index_environment
from envman.uv.runner import Source, Uv


class ExportFormat(str, Enum):
    """What a lock can be written as."""

    PYLOCK = "pylock"
    REQUIREMENTS = "requirements"


@dataclass(frozen=True)
class ExportOutcome:
    """The exported text."""

    environment: str
    format: str
    text: str


def export(workspace: Workspace, name: str, to: ExportFormat, source: Source) -> ExportOutcome:
    """Write a lock as pylock.toml (PEP 751, with the index's file URLs) or as it is; raises LockError."""
    environment = workspace.choose([name])[0]
    state = lock_state(workspace, environment)
    if state.problem:
        raise LockError(state.problem)
    text = read_lock_text(workspace, environment)
    if to is ExportFormat.PYLOCK:
        path = str(workspace.lock_path(environment).absolute())
        with stop_signals(workspace.processes):
            text = Uv(workspace.processes, source).export_pylock(path, environment.requires_python)
    return ExportOutcome(name, to.value, text)


@dataclass(frozen=True)
class WheelhouseOutcome:
    """A filled wheelhouse: how many files it holds now, and for which interpreter."""

    environment: str
    folder: str
    interpreter: str
    files: int


def fill_wheelhouse(
    workspace: Workspace, name: str, folder: Path, python: str | None, config: str | None, report: Report
) -> WheelhouseOutcome:
    """Download the locked files of an environment, for this platform and one interpreter, hashes checked.

    Files are taken as the index has them: a package without a wheel stays a source distribution, as a wheel
    built from it would not have the locked hash. pip downloads, run by the environment's interpreter.
    Raises LockError, BuildError.
    """
    environment = workspace.choose([name])[0]
    state = lock_state(workspace, environment)
    if state.problem:
        raise LockError(state.problem)
    interpreter = discover(python, os.environ).choose(name, environment.requires_python)
    lock_file = str(workspace.lock_path(environment).absolute())
    parse_lock(read_lock_text(workspace, environment), environment.lock_file, name)
    version = ".".join(interpreter.version.split(".")[:2])
    pip = get_embed_wheel("pip", version)
    if pip is None:
        raise BuildError(
            Problem(f"environment '{name}'", f"virtualenv brings no pip for {version}", "Upgrade virtualenv.")
        )
    folder.mkdir(parents=True, exist_ok=True)
    report(Event(name, Stage.INSTALLING, f"downloading into {folder}"))
    command = [interpreter.executable, f"{pip.path}/pip", "download", "--no-deps", "--require-hashes"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--no-input"]
    command += ["--dest", str(folder.absolute()), "--requirement", lock_file]
    variables = pip_index_environment(os.environ, config)
    with stop_signals(workspace.processes):
        finished = workspace.processes.run(
            command, variables, "/", (), lambda line: report(Event(name, Stage.INSTALLING, line))
        )
    if finished.exit_code:
        words = "\n  ".join(finished.stderr.strip().splitlines()[-20:])
        remedy = "Check the index in uv's configuration (or pip's), the proxy and the network."
        raise BuildError(
            Problem(f"environment '{name}'", f"pip could not download its files\n  {words}", remedy)
        )
    files = sum(1 for entry in folder.iterdir() if entry.is_file())
    report(Event(name, Stage.DONE, f"{files} files in {folder}"))
    return WheelhouseOutcome(name, str(folder), interpreter.describe(), files)
