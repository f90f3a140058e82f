"""Build packages that have no wheel, from their sources: in the quarantine, with nothing but the source.

What runs a package's code here, PEP 517's hooks, sees its own source, which it may write to, what its build
asks for, and the machine's programs; the network where the spec says so. A build's requirements are wheels,
installed before any of it runs. Downloading and unpacking runs no code.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name

from envman.build.built_wheel import check_wheel, copy_wheel, names_of_result, read_result
from envman.build.machine import Machine
from envman.build.quarantine import SANDBOX_REMEDY, Guest, GuestRights, Quarantine, guest_variables
from envman.build.source_archive import UnfitError, unpack_source
from envman.build.source_backend import (
    MOST_TEXT,
    QUESTION,
    BuildSystem,
    build_system,
    call_hook,
    copy_script,
    requirements,
    static_metadata,
)
from envman.build.source_cache import BuiltWheel, SourceCache
from envman.build.venv import VirtualEnvironment, said_by
from envman.errors import BuildError, Problem
from envman.inside.protocol import SCRIPTS
from envman.lock.lockfile import Pin
from envman.lock.source_only import SourceFile
from envman.lock.wheel_tags import interpreter_tags
from envman.spec.inputs import digest
from envman.store.manifest import BaseInterpreter
from envman.system.events import Event, Report, Stage
from envman.system.files import let_all_read, strangers_folder
from envman.system.processes import Processes
from envman.uv.runner import Uv

if TYPE_CHECKING:
    from pyproject_hooks import BuildBackendHookCaller

PYTHON_TAGS = f"{SCRIPTS}/python_tags.py"
FORMAT = "1"
SAME_TIME = "315619200"
"""2 January 1980: what a build writes as its own time (SOURCE_DATE_EPOCH), so that it gives the same wheel
another time; zip archives know none before the 1st.
"""

LONGEST_CALL = 3600.0
"""Seconds for one call of a hook: what hangs must not hold its generation's lock without end."""

_SCRIPT = "call_hook.py"
_RESULT = "result"

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class SourceOptions:
    """For whom packages are built, and how.

    `network` are the packages (normalized names, PEP 503) whose builds have the builder's network,
    `variables` what all builds get; `hidden` are folders that are not there for them. `sandbox_required`:
    nothing is built outside of one. `own` are the names of code of one's own, as far as they are known: no
    index is asked for them.
    """

    environment: str
    interpreter: BaseInterpreter
    network: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    sandbox_required: bool = False
    own: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SourceTools:
    """What builds work with: what starts uv and virtualenv, and the machine that they are for.

    `held` are the locks that these children inherit.
    """

    processes: Processes
    uv: Uv
    machine: Machine
    report: Report
    held: Sequence[int] = ()


@dataclass(frozen=True)
class OwnBuild:
    """How a project of one's own is built: what it is, and how its files get into an empty folder.

    `constraints` bound what its build asks for, `variables` are those of its build.
    """

    package: SourceFile
    fill: Callable[[Path], None]
    constraints: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Bench:
    """One build: below its folder the source, and a folder for each call of a hook. The source is ours until
    the first call, and the guest's from then on (`given`).
    """

    package: SourceFile
    folder: Path
    given: bool = False
    calls: int = 0
    constraints: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    built_with: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """The unpacked source."""
        return self.folder / "source"


class SourceBuilds:
    """Builds packages from source, below a folder of its own that the caller removes.

    The folder has to be readable for nobody where root builds, and lie where the machine's programs see it.
    What a guest may write lies in one below it that is closed to the machine's other users: a program there
    could have the rights of its owner, who may be the builder (setuid), and nobody's are others', too.
    """

    def __init__(self, folder: Path, options: SourceOptions, tools: SourceTools) -> None:
        self._folder = folder
        self._guests = folder / "guests"
        self._options = options
        self._tools = tools
        self.cache = SourceCache(tools.machine.cache, tools.uv.source)
        self.wheelhouse = tools.uv.source.wheelhouse
        self._environments: dict[tuple[tuple[str, ...], ...], VirtualEnvironment] = {}
        self._tags: frozenset[Tag] | None = None
        self._count = 0

    def tags(self) -> frozenset[Tag]:
        """The tags of wheels that the interpreter takes; raises BuildError."""
        if self._tags is None:
            self._tags = tags_of(self._options.interpreter.executable, self._tools.processes)
        return self._tags

    def kept_wheels(self, pins: Iterable[Pin]) -> dict[Pin, BuiltWheel]:
        """What was built before from a locked source, in the same way; raises OSError, SpecError."""
        built, found = self.cache.built(), {}
        for pin in pins:
            for sha256 in built & {value.removeprefix("sha256:") for value in pin.hashes}:
                if wheel := self.cache.wheel(self.key(pin.name, sha256)):
                    found[pin] = wheel
        return found

    def wheel(self, file: SourceFile) -> BuiltWheel:
        """The wheel of a source distribution, built unless it is in the cache. Raises BuildError, OSError."""
        key, settings = self.key(file.name, file.sha256), self._tools.uv.build_settings(file.name)
        if found := self.cache.wheel(key):
            return found

        def build(bench: _Bench) -> BuiltWheel:
            result = self._call(bench, lambda hooks, folder: hooks.build_wheel(folder, settings.backend))
            wanted = file.name, file.version
            return self.cache.keep(
                key, result, lambda name, content: check_wheel(name, content, wanted, self.tags())
            )

        return self._at_bench(file, build)

    def own_wheel(
        self, own: OwnBuild, target: Path, check: Callable[[str, BinaryIO], None]
    ) -> tuple[str, tuple[str, ...]]:
        """Build the wheel of a project of one's own into a folder; returns its name, and what it was built
        with, as pinned requirements.

        It is built in any case, in a folder that no other build of these has had. Raises BuildError, OSError.
        """

        def build(bench: _Bench) -> tuple[str, tuple[str, ...]]:
            settings = self._tools.uv.build_settings(own.package.name)
            result = self._call(bench, lambda hooks, folder: hooks.build_wheel(folder, settings.backend))
            return copy_wheel(result, target, check)[0], bench.built_with

        def fill(bench: _Bench) -> None:
            bench.source.mkdir()
            bench.source.chmod(0o755)
            own.fill(bench.source)
            bench.constraints, bench.variables = own.constraints, own.variables

        return self._at_bench(own.package, build, fill)

    def metadata(self, file: SourceFile) -> str:
        """The core metadata of a source distribution: its own where that is static (PEP 643), else what its
        backend makes, or what is in a wheel that it builds. Raises BuildError, OSError.
        """
        settings = self._tools.uv.build_settings(file.name)
        key = self.key(file.name, file.sha256)
        if (kept := self.cache.text(key)) is not None:
            return kept

        def prepare(bench: _Bench) -> str:
            if (text := static_metadata(bench.source)) is not None:
                return text
            result = self._call(
                bench, lambda hooks, folder: hooks.prepare_metadata_for_build_wheel(folder, settings.backend)
            )
            infos = [name for name in names_of_result(result) if name.endswith(".dist-info")]
            if len(infos) != 1:
                raise UnfitError("its backend made no metadata")
            return read_result(result, (infos[0], "METADATA"), MOST_TEXT).decode("utf-8", errors="replace")

        return self.cache.keep_text(key, self._at_bench(file, prepare))

    def hashed(self, file: SourceFile) -> SourceFile:
        """A source with its digest, where the index tells none; raises BuildError, OSError."""
        return self.cache.hashed(file)

    def key(self, name: str, sha256: str, *further: str) -> str:
        """What decides a built wheel, as far as it is known beforehand; it begins with the digest and a dash.

        `further` decide, too.
        """
        options, one = self._options, self._options.interpreter
        way = digest(
            [
                *(FORMAT, one.implementation, one.version, one.platform, one.executable, one.stamp),
                f"network={name in options.network}",
                json.dumps(dict(options.variables), sort_keys=True),
                json.dumps(astuple(self._tools.uv.build_settings(name)), sort_keys=True),
                *further,
            ]
        )
        return f"{sha256}-{way.removeprefix('sha256:')}"

    def _unpack(self, bench: _Bench) -> None:
        """Put a source distribution on a bench."""
        name = self._options.environment
        self._tools.report(Event(name, Stage.INSTALLING, f"fetching the source of {bench.package}"))
        archive = self.cache.source(bench.package)
        with strangers_folder("envman-", self._folder) as unpacked:
            unpack_source(archive, unpacked).rename(bench.source)

    def _at_bench(
        self,
        file: SourceFile,
        work: Callable[[_Bench], ResultT],
        fill: Callable[[_Bench], None] | None = None,
    ) -> ResultT:
        self._guests.mkdir(mode=0o700, exist_ok=True)
        bench = _Bench(file, self._new_folder(self._guests, "build"))
        try:
            (fill or self._unpack)(bench)
            return work(bench)
        except UnfitError as error:
            otherwise = "lock a version that has a wheel"
            if fill:
                otherwise = "state its `version` in `sources`, if it takes that from Git"
            remedy = (
                f"Add what its build needs to the machine, or to [source-builds] of the spec; or {otherwise}."
            )
            raise BuildError(Problem(str(file), f"can't be built: {error}", remedy)) from None

    def _new_folder(self, above: Path, kind: str) -> Path:
        self._count += 1
        folder = above / f"{kind}-{self._count}"
        folder.mkdir()
        folder.chmod(0o755)
        return folder

    def _call(self, bench: _Bench, hook: Callable[[BuildBackendHookCaller, str], object]) -> Path:
        """Call a hook that makes something, with all that the build asks for; returns the folder with what
        it has made. Raises UnfitError, BuildError, OSError.
        """
        system, settings = build_system(bench.source), self._tools.uv.build_settings(bench.package.name)
        wanted = requirements([*system.requires, *settings.requires])
        environment = self._environment(bench, wanted)

        def asked(hooks: BuildBackendHookCaller, _: str) -> object:
            return hooks.get_requires_for_build_wheel(settings.backend)

        further, _ = self._called(bench, system, environment, asked)
        if more := requirements([*wanted, *requirements(further or [])])[len(wanted) :]:
            environment = self._environment(bench, (*wanted, *more))
        bench.built_with = tuple(f"{one.name}=={one.version}" for one in environment.installed())
        return self._called(bench, system, environment, hook)[1]

    def _called(
        self,
        bench: _Bench,
        system: BuildSystem,
        environment: VirtualEnvironment,
        hook: Callable[[BuildBackendHookCaller, str], ResultT],
    ) -> tuple[ResultT, Path]:
        """What a hook says, and the folder with what it has made."""
        bench.calls += 1
        call = bench.folder / f"call-{bench.calls}"
        (call / _RESULT).mkdir(parents=True)

        def run(name: str, question: Path, further: Mapping[str, str]) -> Path:
            shutil.copyfile(question, call / QUESTION)
            found, variables = self._quarantine(bench, environment, (bench.source, call))
            for folder in (call,) if bench.given else (bench.source, call):
                found.give(folder)
            found.let_in(self._guests)
            bench.given = True
            words = [str(environment.python), str(environment.folder / _SCRIPT), name, str(call)]
            until = time.monotonic() + LONGEST_CALL
            environ = {**variables, **further}
            finished = found.processes.run(words, environ, str(bench.source), timeout=LONGEST_CALL)
            if finished.exit_code and time.monotonic() >= until:
                raise UnfitError(f"{name} was ended, as it took more than {LONGEST_CALL / 60:g} minutes")
            if finished.exit_code:
                raise UnfitError(f"{name} ended with {finished.exit_code}\n  {said_by(finished)}")
            return call

        seen = self._tools.processes.seen  # a base's interpreter finds the folders elsewhere
        said = call_hook(
            system, seen(str(bench.source)), run, lambda hooks: hook(hooks, seen(str(call / _RESULT)))
        )
        return said, call / _RESULT

    def _environment(self, bench: _Bench, wanted: tuple[str, ...]) -> VirtualEnvironment:
        """A virtual environment with what builds ask for, never with more; several builds may share it."""
        package, key, own = bench.package, (wanted, bench.constraints), self._options.own
        if asked := sorted({canonicalize_name(Requirement(one).name) for one in wanted} & own):
            raise UnfitError(f"its build asks for {asked[0]!r}, a source, and no index is asked for that")
        if key not in self._environments:
            folder = self._new_folder(self._folder, "requires")
            made = VirtualEnvironment(folder)
            tools, settings = self._tools, self._tools.uv.build_settings(package.name)
            virtualenv = tools.machine.virtualenv(self._options.interpreter)
            made.create(virtualenv, tools.processes, tools.held)
            if wanted:
                try:
                    constraints = (*settings.constraints, *bench.constraints)
                    tools.uv.install_requirements(wanted, constraints, own, made.python, tools.held)
                except BuildError as error:
                    problems = [
                        Problem(f"{package}: {one.where}", one.what, one.remedy) for one in error.problems
                    ]
                    raise BuildError(problems) from None
            copy_script(folder / _SCRIPT)
            if os.geteuid() == 0:  # builds are nobody's
                let_all_read(folder)
            self._environments[key] = made
        return self._environments[key]

    def _quarantine(
        self, bench: _Bench, environment: VirtualEnvironment, writable: Sequence[Path]
    ) -> tuple[Quarantine, Mapping[str, str]]:
        package, options, tools = bench.package, self._options, self._tools
        guest = Guest(
            environment=options.environment,
            folder=str(environment.folder),
            interpreter=options.interpreter.executable,
            hidden=options.hidden,
            writable=tuple(map(str, writable)),
            network=package.name in options.network,
        )
        fixed = {"SOURCE_DATE_EPOCH": SAME_TIME, "PYTHONDONTWRITEBYTECODE": "1", **options.variables}
        fixed |= bench.variables
        variables = guest_variables(str(environment.python.parent), (), fixed)
        found = tools.machine.quarantine(guest, variables)
        if options.sandbox_required:
            found.refuse_if_not_apart()
        tools.report(_said_of(found, package, options.environment))
        return found, variables


def tags_of(python: str, processes: Processes) -> frozenset[Tag]:
    """The tags of wheels that an interpreter takes; raises BuildError."""
    finished = processes.run([python, "-I", "-S", PYTHON_TAGS], {}, "/")
    try:
        return interpreter_tags(finished.stdout)
    except ValueError as error:
        raise BuildError(Problem(python, str(error), "Lock versions that have a wheel.")) from None


def _said_of(quarantine: Quarantine, package: SourceFile, environment: str) -> Event:
    what = f"{package} from source, {quarantine.rights.value}"
    if quarantine.rights is GuestRights.BUILDERS:
        what = f"{what}, over other environments, too ({'; '.join(quarantine.why)}). {SANDBOX_REMEDY}"
    return Event(environment, Stage.BUILDING, what, quarantine.rights is GuestRights.BUILDERS)
