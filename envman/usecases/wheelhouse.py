"""`envman wheelhouse`: the files of a lock as a folder."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from virtualenv.seed.wheels.embed import get_embed_wheel

from envman.build.interpreters import discover
from envman.errors import BuildError, Problem
from envman.lock.lock_state import fresh_lock_text
from envman.lock.lockfile import parse_lock
from envman.spec.workspace import Workspace
from envman.system.events import Event, Report, Stage
from envman.uv.indexes import pip_index_environment


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
    text = fresh_lock_text(workspace, environment)
    interpreter = discover(python, os.environ).choose(name, environment.requires_python)
    lock_file = str(workspace.lock_path(environment).absolute())
    parse_lock(text, environment.lock_file, name)
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
    with TemporaryDirectory(prefix="envman-wheelhouse-") as scratch:  # for what pip leaves
        finished = workspace.processes.run(
            command,
            {**variables, "TMPDIR": scratch},
            "/",
            (),
            lambda line: report(Event(name, Stage.INSTALLING, line)),
        )
    if finished.exit_code:
        words = "\n  ".join(finished.stderr.strip().splitlines()[-20:])
        remedy = "Check the index in uv's configuration (or pip's), the proxy and the network."
        raise BuildError(
            Problem(f"environment '{name}'", f"pip could not download its files\n  {words}", remedy)
        )
    files = _own_files(folder)
    report(Event(name, Stage.DONE, f"{files} files in {folder}"))
    return WheelhouseOutcome(name, str(folder), interpreter.describe(), files)


def _own_files(folder: Path) -> int:
    """How many files a wheelhouse has; others may not write them, whatever pip copied."""
    files = [entry for entry in folder.iterdir() if entry.is_file() and not entry.is_symlink()]
    for entry in files:
        mode = stat.S_IMODE(entry.stat().st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            entry.chmod(mode & ~(stat.S_IWGRP | stat.S_IWOTH))
    return len(files)
