"""`envman wheelhouse`: the files of a lock as a folder."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from virtualenv.seed.wheels.embed import get_embed_wheel

from envman.build.installation import sources_of
from envman.build.interpreters import discover
from envman.build.own_builds import building_of
from envman.build.source_archive import UnfitError, unpack_source
from envman.build.source_backend import build_system
from envman.build.source_builds import tags_of
from envman.build.source_cache import SourceCache
from envman.build.source_metadata import source_builds
from envman.errors import BuildError, LockError, Problem
from envman.lock.lock_state import fresh_lock_text
from envman.lock.lockfile import Pin, parse_lock, pins_text
from envman.lock.source_only import SourceFile
from envman.spec.workspace import Workspace
from envman.store.manifest import BaseInterpreter
from envman.system.events import Event, Report, Stage
from envman.system.files import cache_folder, strangers_folder
from envman.uv.indexes import pip_index_environment
from envman.uv.runner import Source, Uv


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
    built from it would not have the locked hash; with it come the wheels that its build asks for. Wheels are
    downloaded by pip, run by the environment's interpreter, sources by envman: pip would run their code. Of
    code of one's own the wheels are built.
    Raises LockError, BuildError.
    """
    environment = workspace.choose([name])[0]
    text = fresh_lock_text(workspace, environment)
    interpreter = discover(python, os.environ).choose(name, environment.requires_python)
    lock = parse_lock(text, environment.lock_file, name)
    markers = interpreter.marker_environment()
    pins = [pin for pin in lock.indexed() if pin.applies(markers)]
    own = {pin: source for pin, source in lock.own().items() if pin.applies(markers)}
    folder.mkdir(parents=True, exist_ok=True)
    report(Event(name, Stage.INSTALLING, f"downloading into {folder}"))
    uv = Uv(workspace.processes, Source(config=config))
    if own:
        from envman.build.own_wheels import OwnWheels  # which no other environment needs

        required = workspace.project.sandbox_required
        with source_builds(*building_of(workspace, environment, uv, report, required, interpreter)) as builds:
            wheels = OwnWheels(workspace.project.directory, builds).all_from_lock(environment, own)
        for wheel in wheels.values():
            shutil.copyfile(wheel.path, folder / wheel.path.name)
    tags = tags_of(interpreter.executable, workspace.processes)
    sources: dict[Pin, SourceFile] = {}
    with suppress(LockError):  # where pip alone knows the index
        sources = {} if environment.no_build else sources_of(pins, interpreter.version, tags, uv)
    with TemporaryDirectory(prefix="envman-wheelhouse-") as name_of_scratch:
        scratch = Path(name_of_scratch)
        pip = _Pip(config, workspace, name, interpreter, folder, scratch)
        pip.download([pin for pin in pins if pin not in sources], report)
        for file in sources.values():
            wanted = _take_source(file, uv, folder, scratch)
            constraints = uv.build_settings(file.name).constraints
            pip.download_requirements(wanted, constraints, report)  # each build has an environment of its own
    files = _own_files(folder)
    report(Event(name, Stage.DONE, f"{files} files in {folder}"))
    return WheelhouseOutcome(name, str(folder), interpreter.describe(), files)


def _take_source(file: SourceFile, uv: Uv, folder: Path, scratch: Path) -> list[str]:
    """Put a source into a wheelhouse; returns what its build asks for. Raises BuildError, OSError."""
    archive = SourceCache(cache_folder(os.environ), uv.source).source(file)
    shutil.copyfile(archive, folder / archive.name)
    try:
        with strangers_folder("envman-source-", scratch) as unpacked:
            wanted = build_system(unpack_source(archive, unpacked)).requires
    except UnfitError as error:
        remedy = "Lock another version of it, one that has a wheel best."
        raise BuildError(Problem(str(file), f"can't be built: {error}", remedy)) from None
    return list(dict.fromkeys([*wanted, *uv.build_settings(file.name).requires]))


@dataclass(frozen=True)
class _Pip:
    """pip, as virtualenv brings it, run by the environment's interpreter; `scratch` is for what it leaves.

    `config` is the deployment's uv.toml.
    """

    config: str | None
    workspace: Workspace
    name: str
    interpreter: BaseInterpreter
    folder: Path
    scratch: Path

    def download(self, pins: Sequence[Pin], report: Report) -> None:
        """Download the wheels of pins, exactly as they are locked; raises BuildError."""
        self._download(pins_text(pins), ["--no-deps", "--require-hashes"], report)

    def download_requirements(
        self, wanted: Sequence[str], constraints: Sequence[str], report: Report
    ) -> None:
        """Download wheels that fit requirements, with those that they need; raises BuildError."""
        file = self.scratch / "constraints.txt"
        file.write_text("".join(f"{one}\n" for one in constraints), encoding="utf-8")
        self._download("".join(f"{one}\n" for one in wanted), ["--constraint", str(file)], report)

    def _download(self, wanted: str, options: Sequence[str], report: Report) -> None:
        if not wanted:
            return
        version = ".".join(self.interpreter.version.split(".")[:2])
        where, pip = f"environment '{self.name}'", get_embed_wheel("pip", version)
        if pip is None:
            what = f"virtualenv brings no pip for {version}"
            raise BuildError(Problem(where, what, "Upgrade virtualenv."))
        file = self.scratch / "requirements.txt"
        file.write_text(wanted, encoding="utf-8")
        command = [self.interpreter.executable, f"{pip.path}/pip", "download", *options]
        command += ["--only-binary", ":all:"]  # of a source it would run code to learn what that is
        command += ["--disable-pip-version-check", "--progress-bar", "off", "--no-input"]
        command += ["--dest", str(self.folder.absolute()), "--requirement", str(file)]
        finished = self.workspace.processes.run(
            command,
            {**pip_index_environment(os.environ, self.config), "TMPDIR": str(self.scratch)},
            "/",
            (),
            lambda line: report(Event(self.name, Stage.INSTALLING, line)),
        )
        if finished.exit_code:
            words = "\n  ".join(finished.stderr.strip().splitlines()[-20:])
            remedy = "Check the index in uv's configuration (or pip's), the proxy and the network."
            raise BuildError(Problem(where, f"pip could not download its files\n  {words}", remedy))


def _own_files(folder: Path) -> int:
    """How many files a wheelhouse has; others may not write them, whatever pip copied."""
    files = [entry for entry in folder.iterdir() if entry.is_file() and not entry.is_symlink()]
    for entry in files:
        mode = stat.S_IMODE(entry.stat().st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            entry.chmod(mode & ~(stat.S_IWGRP | stat.S_IWOTH))
    return len(files)
