"""Run uv: resolve, install, check, export."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from envman.errors import BuildError, LockError, Problem
from envman.lock.lockfile import Pin, pins_text
from envman.lock.platforms import environment_markers, lowest_python
from envman.spec.inputs import CORE, Inputs
from envman.system.child_process import Finished
from envman.system.files import cache_folder
from envman.system.processes import Processes
from envman.uv.cache import mend_after_boot
from envman.uv.cache_without_builds import BUILDS, TRIAL, cache_without_builds, wanted_build
from envman.uv.configuration import (
    BUILD_KEYS,
    INDEX_KEYS,
    BuildSettings,
    build_settings,
    uv_environment,
    uv_folder,
    wants_no_cache,
)
from envman.uv.known_packages import KnownMetadata, LocalWheel, with_hashes, with_versions
from envman.uv.messages import last_words, remedy_for, resolution_error

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Upgrade:
    """Which pinned versions a lock run may leave: all of them, or those of some packages."""

    everything: bool = False
    packages: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether any version may change."""
        return self.everything or bool(self.packages)


class SourceNeededError(Exception):
    """uv has to know what a source distribution declares, and would have to build it: name and version."""

    def __init__(self, package: str, version: str) -> None:
        super().__init__(f"{package} {version}")
        self.package = package
        self.version = version


@dataclass(frozen=True)
class Source:
    """Where uv takes files from: `offline` its cache alone, `wheelhouse` a folder alone, else the indexes.

    `config` is the deployment's uv.toml, if it has one.
    """

    offline: bool = False
    wheelhouse: str | None = None
    config: str | None = None

    def options(self) -> list[str]:
        """The command-line options that say so."""
        options = ["--offline"] if self.offline else []
        if self.wheelhouse:
            options += ["--no-index", "--find-links", self.wheelhouse]
        return options


class Uv:
    """Runs uv for one source."""

    def __init__(self, processes: Processes, source: Source) -> None:
        self._processes = processes
        self.source = source
        self._is_tried = False
        self._kept_cache: Path | None = None
        self.program = find_uv_bin()
        """Where uv is, on this machine."""

    def version(self) -> str:
        """uv's own version."""
        finished = self._processes.run([self.program, "--version"], uv_environment(os.environ), "/")
        return finished.stdout.split()[1] if finished.exit_code == 0 else "unknown"

    def cache_folder(self) -> Path | None:
        """Where uv keeps what it has unpacked, by its configuration; None where it does not say.

        It is a path of the machine, or of the image, that uv runs in. uv is asked once.
        """
        if self._kept_cache is None:
            with uv_folder(self.source.config) as folder:
                command = [self.program, "cache", "dir"]
                finished = self._processes.run(command, uv_environment(os.environ), str(folder))
            said = finished.stdout.strip()
            self._kept_cache = Path(said) if finished.exit_code == 0 and said else None
        return self._kept_cache

    def resolve(
        self,
        inputs: Inputs,
        previous: str,
        upgrade: Upgrade,
        known: Sequence[KnownMetadata] = (),
        wheels: Sequence[LocalWheel] = (),
    ) -> str:
        """Resolve an environment for all its platforms; returns pinned requirements with hashes.

        `previous` is the lock that is there (may be empty): its versions are kept where they still fit.
        `wheels` are required, and win over what an index has by their names, which is not asked for them.
        Nothing is built: SourceNeededError says which source distribution's metadata has to be `known`.
        Raises UnsatisfiableError where no set of versions fits, LockError for any other failure.
        """
        markers = environment_markers(inputs.requires_python, inputs.platforms)
        with uv_folder(self.source.config, markers, known=[one.table() for one in known]) as folder:
            _write_inputs(folder, inputs, previous)
            with (folder / "requirements.in").open("a", encoding="utf-8") as stream:
                stream.writelines(f"{wheel.requirement()}\n" for wheel in wheels)
            command = ["pip", "compile", "requirements.in", "--output-file", "lock.txt", "--quiet"]
            command += ["--constraints", "constraints.txt", "--overrides", "overrides.txt"]
            command += [*_UNIVERSAL, "--python-version", lowest_python(inputs.requires_python)]
            command += ["--upgrade"] if upgrade.everything else []
            command += _cool_down(inputs)
            command += ["--no-build"] if inputs.no_build else []
            command += [word for package in upgrade.packages for word in ("--upgrade-package", package)]
            finished = self._run_without_builds(command, folder)
            if wanted := wanted_build(finished):
                raise SourceNeededError(*wanted)
            if finished.exit_code:
                raise resolution_error(inputs, finished)
            text = (folder / "lock.txt").read_text(encoding="utf-8")
            return with_hashes(with_versions(text, wheels), known)

    def pylock(self, pins: Sequence[Pin], requires_python: str) -> str:
        """Pins as PEP 751 text, with the files' addresses at the configured index; raises LockError."""
        with tempfile.TemporaryDirectory(prefix="envman-pins-") as folder:
            file = Path(folder) / "pins.txt"
            file.write_text(pins_text(pins), encoding="utf-8")
            return self._pylock(str(file), [(pin.name, pin.version) for pin in pins], requires_python)

    def _pylock(self, file: str, versions: Iterable[tuple[str, str]], requires_python: str) -> str:
        """Pinned requirements as PEP 751 text; raises LockError."""
        # without dependencies uv needs no package's metadata, and would want to build sources to read it
        known = [KnownMetadata(name, version).table() for name, version in versions]
        with uv_folder(self.source.config, known=known) as folder:
            command = ["pip", "compile", file, "--no-deps", "--format", "pylock.toml", "--quiet"]
            command += [*_UNIVERSAL, "--python-version", lowest_python(requires_python)]
            finished = self._run_without_builds(command, folder)
        if finished.exit_code:
            what = f"uv could not export it\n  {last_words(finished)}"
            raise LockError(Problem(file, what, remedy_for(finished)))
        return finished.stdout

    def files_of(self, pins: Sequence[Pin], requires_python: str) -> Mapping[str, Any]:
        """The files that the index has of pins, as PEP 751 has them; raises LockError."""
        return tomllib.loads(self.pylock(pins, requires_python))

    def files_of_version(self, name: str, version: str, requires_python: str) -> Mapping[str, Any]:
        """The same of one version of a package, which nobody has locked yet; raises LockError."""
        with tempfile.TemporaryDirectory(prefix="envman-pins-") as folder:
            file = Path(folder) / "pins.txt"
            file.write_text(f"{name}=={version}\n", encoding="utf-8")
            return tomllib.loads(self._pylock(str(file), [(name, version)], requires_python))

    def install(
        self,
        lock_file: str,
        python: Path,
        held: Sequence[int],
        on_line: Callable[[str], None],
        wheels: Iterable[str] = (),
    ) -> None:
        """Install exactly a lock into a virtual environment: wheels, every hash checked, without bytecode.

        Nothing is built: that would run a package's code, with all rights of this process. `wheels` are
        folders with wheels that the indexes don't have. Raises BuildError.
        """
        command = ["pip", "sync", lock_file, "--python", str(python), "--require-hashes"]
        command += ["--no-compile-bytecode"]  # whatever UV_COMPILE_BYTECODE says
        command += ["--no-build", *(word for folder in wheels for word in ("--find-links", folder))]
        with self._folder_to_install() as folder:
            finished = self._run_without_builds(command, folder, str(python), held, on_line)
        if finished.exit_code:
            raise BuildError(Problem("uv pip sync", last_words(finished), remedy_for(finished)))

    def unpack(self, pins: str, python: str, folder: Path) -> bool:
        """Unpack pinned wheels into a folder, every hash checked, for a Python such as '3.12'.

        Nothing of them runs. False where one can't be had.
        """
        command = ["pip", "sync", "pins.txt", "--target", str(folder), "--python-version", python, *_PYTHON]
        command += ["--require-hashes", "--no-build", "--no-compile-bytecode", "--quiet"]
        with self._folder_to_install() as run_in:
            (run_in / "pins.txt").write_text(pins, encoding="utf-8")
            return self._run_without_builds(command, run_in).exit_code == 0

    def build_settings(self, package: str) -> BuildSettings:
        """What the deployment's uv.toml says of a package's build from source; raises SpecError."""
        return build_settings(self.source.config, package)

    def install_requirements(
        self,
        requirements: Iterable[str],
        constraints: Iterable[str],
        without: Iterable[str],
        python: Path,
        held: Sequence[int],
    ) -> None:
        """Install what a build asks for into an empty virtual environment, wheels alone; raises BuildError.

        Packages that something of it needs and that it is to be `without` are left out, and not looked for.

        It has to be empty, as uv starts its interpreter, and with it the `.pth` files that are there.
        """
        command = ["pip", "install", "--requirements", "requirements.txt", "--constraints", "constraints.txt"]
        command += [
            "--overrides",
            "overrides.txt",
            "--python",
            str(python),
            "--no-build",
            "--no-compile-bytecode",
            "--quiet",
        ]
        with self._folder_to_install() as folder:
            _write_lines(folder / "requirements.txt", requirements)
            _write_lines(folder / "constraints.txt", constraints)
            never = (f"{name} ; python_version < '0'" for name in sorted(without))
            _write_lines(folder / "overrides.txt", never)
            finished = self._run_without_builds(command, folder, str(python), held)
        if finished.exit_code:
            raise BuildError(Problem("what its build asks for", last_words(finished), remedy_for(finished)))

    def _folder_to_install(self) -> contextlib.AbstractContextManager[Path]:
        """A folder to run uv in where it takes wheels alone: what is built, envman has built."""
        indexes = {*INDEX_KEYS, "pip"} if self.source.wheelhouse else set()
        return uv_folder(self.source.config, without={*BUILD_KEYS, *indexes})

    def _run_without_builds(
        self,
        arguments: Iterable[str],
        folder: Path,
        python: str = sys.executable,
        held: Sequence[int] = (),
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        """Run uv where it can build nothing, whatever its configuration says; raises LockError where that
        can't be had. `python` is an interpreter that would build.
        """
        with self._cache() as cache, cache_without_builds(cache) as view:
            options = ["--cache-dir", str(view)]
            if not self._is_tried:
                self._try_a_build(options, folder, python)
                self._is_tried = True
            return self._run([*arguments, *options], folder, held, on_line)

    @contextlib.contextmanager
    def _cache(self) -> Iterator[Path]:
        """The cache, as it is on this machine; or one that goes when the context ends (`no-cache`)."""
        if wants_no_cache(os.environ, self.source.config):
            with tempfile.TemporaryDirectory(prefix="envman-cache-") as cache:
                yield Path(cache)
        elif (found := self.cache_folder()) is None:
            what = "it does not say where its cache is"
            raise LockError(Problem("uv cache dir", what, "Run that command, and mend what it says."))
        else:
            yield Path(self._processes.outside(str(found)))

    def _try_a_build(self, options: Sequence[str], folder: Path, python: str) -> None:
        """See that uv builds nothing where it should not, by a package whose build would leave a trace.

        Raises LockError.
        """
        trial = folder / "trial"
        trial.mkdir()
        for name, text in TRIAL.items():
            (trial / name).write_text(text, encoding="utf-8")
        (folder / "trial.in").write_text("./trial\n", encoding="utf-8")
        command = ["pip", "compile", "trial.in", "--quiet", "--python", python, *options]
        finished = self._run(command, folder)
        if BUILDS not in finished.stderr or (trial / "it-ran").exists():
            what = f"it would build packages here, and so run code of theirs: {last_words(finished)}"
            remedy = (
                "Take `no-cache` out of the user's and the system's uv.toml; or use another version of uv."
            )
            raise LockError(Problem("uv", what, remedy))

    def _run(
        self,
        arguments: Iterable[str],
        folder: Path,
        held: Sequence[int] = (),
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        self._mend_cache(on_line)
        command = [
            self.program,
            *arguments,
            "--no-progress",
            "--no-python-downloads",
            *self.source.options(),
        ]
        environment = uv_environment(os.environ)
        if "--cache-dir" in command:
            environment.pop("UV_NO_CACHE", None)  # which would win
        if self.source.wheelhouse:
            environment.pop("UV_FIND_LINKS", None)
        return self._processes.run(command, environment, str(folder), held, on_line)

    def _mend_cache(self, on_line: Callable[[str], None] | None) -> None:
        """Take out of uv's cache what a power cut has damaged, once after a boot."""
        which = hashlib.sha256(os.fsencode(os.environ.get("UV_CACHE_DIR", ""))).hexdigest()[:12]
        mark = cache_folder(os.environ) / "uv" / f"{which}.boot"
        damaged = mend_after_boot(mark, self.cache_folder, self._forget)
        if damaged and on_line:
            on_line(f"removed from uv's cache, as a power cut damaged it: {', '.join(damaged)}")

    def _forget(self, packages: Sequence[str]) -> None:
        """Take packages out of uv's cache; raises BuildError."""
        command = [self.program, "cache", "clean", "--quiet", *packages]
        finished = self._processes.run(command, uv_environment(os.environ), "/")
        if finished.exit_code:
            what = f"a power cut damaged uv's cache, and uv can't mend it: {last_words(finished)}"
            raise BuildError(Problem("uv cache clean", what, remedy_for(finished)))


_PYTHON = ("--python", sys.executable)  # or uv looks through every interpreter on PATH
_UNIVERSAL = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", *_PYTHON)


def _cool_down(inputs: Inputs) -> Iterator[str]:
    """The options that leave out what was uploaded lately; one of the spec's wins over uv's configuration."""
    if inputs.exclude_newer:
        yield from ("--exclude-newer", inputs.exclude_newer)
        for package in inputs.exclude_newer_except:
            yield from ("--exclude-newer-package", f"{package}=false")


def _write_inputs(folder: Path, inputs: Inputs, previous: str) -> None:
    airflow = [f"{CORE}=={inputs.airflow_version}"] if inputs.airflow_version else []
    asked = (line for lines in inputs.requirements.values() for line in lines)
    _write_lines(folder / "requirements.in", [*asked, *airflow])
    constraints = (line for entry in inputs.constraints for line in entry.lines or ())
    _write_lines(folder / "constraints.txt", constraints)
    _write_lines(folder / "overrides.txt", inputs.overrides)
    if previous:
        (folder / "lock.txt").write_text(previous, encoding="utf-8")


def _write_lines(file: Path, lines: Iterable[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
